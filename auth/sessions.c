/* SPDX-License-Identifier: ISC */
#include "auth/sessions.h"

#include <stdlib.h>

#include "auth/profile.h"
#include "common/base/log.h"
#include "common/base/str.h"

struct peer {
	struct peer *next;
	struct ipc_channel *channel;     /* NULL: closed, log-ins are ending */
	struct task_group tasks;
	struct session *sessions;
};

/* A log-in of a peer, as its task and the peer's messages see it. */
struct session {
	struct session *next;
	struct login login;
	struct peer *peer;
	uint64_t number;
	uint32_t request;                /* to be answered; 0: the client's turn */
	struct task *task;
	bool responded;
	bool cancelled;                  /* ending: not counted any more */
	struct slice response;
	struct task_event event;
};

static struct {
	struct sessions_settings settings;
	struct peer *peers;
	size_t logins;
} me;

void sessions_open(const struct sessions_settings *settings)
{
	me.settings = *settings;
}

/* --- answers --- */

static void refuse(struct peer *p, uint32_t request, const char *text)
{
	struct ipc_out out;

	if (p->channel && auth_put_refused(&out, request, text))
		(void)ipc_send(p->channel, &out);
}

static void send_answer(struct peer *p, uint32_t request, const struct auth_answer *answer)
{
	struct ipc_out out;

	if (p->channel && request && auth_put_answer(&out, request, answer))
		(void)ipc_send(p->channel, &out);
}

static void send_failure(struct peer *p, uint32_t request, enum auth_reason reason, struct slice text)
{
	struct auth_answer answer = { .type = AUTH_FAIL, .text = text, .reason = reason,
				      .temporary = reason == AUTH_REASON_BACKEND || reason == AUTH_REASON_BUSY };

	send_answer(p, request, &answer);
}

/* --- peers --- */

static void peer_gone(void *context)
{
	struct peer *p = context, **link = &me.peers;

	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	free(p);
}

/* Frees it when its last task has ended, which is now when there is none. */
static void close_peer(struct peer *p)
{
	if (p->channel)
		ipc_channel_free(&p->channel);
	if (p->tasks.count == 0) {
		peer_gone(p);
		return;
	}
	p->tasks.on_empty = peer_gone;
	p->tasks.context = p;
	task_group_cancel(&p->tasks);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	close_peer(context);
}

/* A client's next words go to our successor, who does not know the log-in: it cannot end well here. */
void sessions_retire(void)
{
	for (struct peer *p = me.peers; p; p = p->next)
		for (struct session *s = p->sessions; s; s = s->next)
			if (s->request == 0)
				task_cancel(s->task);
}

/* --- log-ins --- */

static struct session *find_session(const struct peer *p, uint64_t number)
{
	struct session *s = p->sessions;

	while (s && s->number != number)
		s = s->next;
	return s;
}

static bool ask(struct login *login, struct slice challenge, struct slice *response)
{
	struct session *s = login->context;
	struct auth_answer answer = { .type = AUTH_CHALLENGE, .text = challenge };
	double deadline = loop_now() + me.settings.response_seconds;

	send_answer(s->peer, s->request, &answer);
	s->request = 0;
	s->responded = false;
	while (!s->responded)
		if (task_event_wait(&s->event, deadline < login->deadline ? deadline : login->deadline) != TASK_READY)
			return false;
	*response = s->response;
	return true;
}

static void run_session(void *arg)
{
	struct session *s = arg;
	struct peer *p = s->peer;
	struct arena *arena = s->login.arena;
	const struct profile *profile = profile_find(s->login.start.service);
	struct auth_answer answer = { .type = AUTH_FAIL };

	login_fail(&s->login, &answer, AUTH_REASON_BACKEND, "log-ins are not enabled for this service");
	if (profile && profile->backend)
		profile->type->login(profile->backend, &s->login, &answer);

	/* A client that has not been answered waits; one that was cancelled does not. */
	send_answer(p, s->request, &answer);

	struct session **link = &p->sessions;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	me.logins--;
	arena_free(&arena);
	me.settings.busy(-1);
}

static bool is_crowded(struct slice address)
{
	size_t same = 0;

	for (const struct peer *p = me.peers; p; p = p->next)
		for (const struct session *s = p->sessions; s; s = s->next)
			same += !s->cancelled && slice_eq(s->login.start.client_address, address);
	return me.logins >= LOGINS_MAX || same >= LOGINS_OF_CLIENT_MAX;
}

static void copy_start(struct arena *arena, const struct auth_start *from, struct auth_start *to)
{
	*to = *from;
	to->service = arena_slice(arena, from->service);
	to->mechanism = arena_slice(arena, from->mechanism);
	to->response = arena_slice(arena, from->response);
	to->client_address = arena_slice(arena, from->client_address);
	to->client_port = arena_slice(arena, from->client_port);
	to->local_address = arena_slice(arena, from->local_address);
	to->local_port = arena_slice(arena, from->local_port);
}

static void start_session(struct peer *p, const struct ipc_in *m)
{
	struct auth_start start;
	struct arena *arena;
	struct session *s;
	uint64_t number;

	if (!auth_get_start(m, &number, &start) || find_session(p, number)) {
		log_warning("malformed log-in from smtpd");
		send_failure(p, m->request, AUTH_REASON_MALFORMED, SLICE("malformed request"));
		return;
	}
	if (is_crowded(start.client_address)) {
		log_warning("too many log-ins at a time: %zu, last from [%.*s]", me.logins, SLICE_FMT(start.client_address));
		send_failure(p, m->request, AUTH_REASON_BUSY, SLICE("too many log-ins at a time"));
		return;
	}
	arena = arena_create(2048);
	s = arena_alloc(arena, sizeof(*s));
	s->peer = p;
	s->number = number;
	s->request = m->request;
	s->login = (struct login){ .arena = arena, .deadline = loop_now() + 2 * me.settings.response_seconds + AUTH_BACKEND_SECONDS,
				   .ask = ask, .context = s };
	copy_start(arena, &start, &s->login.start);
	s->task = task_spawn(&p->tasks, run_session, s);
	if (!s->task) {
		send_failure(p, m->request, AUTH_REASON_BUSY, SLICE("out of memory"));
		arena_free(&arena);
		return;
	}
	s->next = p->sessions;
	p->sessions = s;
	me.logins++;
	me.settings.busy(1);
}

static void continue_session(struct peer *p, const struct ipc_in *m)
{
	struct slice response;
	struct session *s;
	uint64_t number;

	if (!auth_get_response(m, &number, &response) || !(s = find_session(p, number)) || s->responded || s->request) {
		send_failure(p, m->request, AUTH_REASON_BACKEND, SLICE("Connection lost to authentication server"));
		return;
	}
	s->request = m->request;
	s->response = arena_slice(s->login.arena, response);
	s->responded = true;
	task_event_signal(&s->event);
}

static void cancel_session(struct peer *p, const struct ipc_in *m)
{
	struct session *s;
	uint64_t number;

	if (!auth_get_cancel(m, &number) || !(s = find_session(p, number)))
		return;
	s->cancelled = true;
	task_cancel(s->task);
}

/* --- questions --- */

struct question {
	struct peer *peer;
	uint32_t request;
	uint32_t messages, recipients;
	size_t len;
	char text[SASL_LOGIN_MAX];       /* a service; a user */
};

static void answer_mechanisms(void *arg)
{
	struct question *q = arg;
	const struct profile *profile = profile_find(slice_make(q->text, q->len));
	struct arena *arena = arena_create(0);
	struct auth_mechanism list[AUTH_MECHANISMS_MAX];
	struct err err = { .text = "log-ins are not enabled for this service" };
	struct ipc_out out;
	size_t count = 0;

	if (!profile || !profile->backend ||
	    !profile->type->mechanisms(profile->backend, loop_now() + AUTH_BACKEND_SECONDS, arena, list, &count, &err))
		refuse(q->peer, q->request, err.text);
	else if (q->peer->channel && auth_put_mechanisms(&out, q->request, list, count))
		(void)ipc_send(q->peer->channel, &out);
	arena_free(&arena);
	free(q);
	me.settings.busy(-1);
}

static void answer_count(void *arg)
{
	struct question *q = arg;
	struct auth_counting counting = { slice_make(q->text, q->len), q->messages, q->recipients };
	struct auth_verdict verdict;
	struct err err = { 0 };
	struct ipc_out out;

	if (!me.settings.count(&counting, &verdict, &err))
		refuse(q->peer, q->request, err.text);
	else if (q->peer->channel && auth_put_counted(&out, q->request, &verdict))
		(void)ipc_send(q->peer->channel, &out);
	free(q);
	me.settings.busy(-1);
}

/* Answered in a task, as it may take a look at a table or another process. */
static void start_question(struct peer *p, const struct ipc_in *m)
{
	struct question *q = mem_alloc(sizeof(*q));
	struct auth_counting counting = { .messages = 0 };
	bool counts = m->type == AUTH_COUNT;
	bool ok = counts ? auth_get_count(m, &counting) : auth_get_service(m, &counting.user);

	q->peer = p;
	q->request = m->request;
	q->messages = counting.messages;
	q->recipients = counting.recipients;
	q->len = counting.user.len;
	if (ok && q->len)
		memcpy(q->text, counting.user.ptr, q->len);
	me.settings.busy(1);
	if (ok && task_spawn(&p->tasks, counts ? answer_count : answer_mechanisms, q))
		return;
	refuse(p, m->request, ok ? "out of memory" : "malformed request");
	me.settings.busy(-1);
	free(q);
}

/* --- messages --- */

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	switch (m->type) {
	case AUTH_START:
		start_session(context, m);
		break;
	case AUTH_CONTINUE:
		continue_session(context, m);
		break;
	case AUTH_CANCEL:
		cancel_session(context, m);
		break;
	case AUTH_MECHANISMS:
	case AUTH_COUNT:
		start_question(context, m);
		break;
	default:
		refuse(context, m->request, "unknown request");
	}
}

void sessions_accept(int fd)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct peer *p = mem_alloc(sizeof(*p));

	p->channel = ipc_channel_create(fd, &auth_protocol, &handler, p);
	p->next = me.peers;
	me.peers = p;
}
