/* SPDX-License-Identifier: ISC */
/*
 * smtpd_sasl_type = dovecot: Dovecot's auth server decides.  One connection for all log-ins,
 * made when the first comes and again when it is lost; a task reads the answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/dovecot_line.h"
#include "common/base/log.h"
#include "common/net/stream.h"
#include "common/sasl/base64.h"

#define HANDSHAKE_SECONDS 20
#define HANDSHAKE_LINES   1000
#define LOST              "Connection lost to authentication server"

/* A log-in that waits for an answer; on the stack of its task. */
struct call {
	struct call *next;
	uint64_t number;
	struct task_event event;
	bool answered;
	bool lost;
	enum dovecot_kind kind;
	struct arena *arena;         /* what these are in: */
	struct slice data, user, reason, code;
	bool temporary;
};

struct backend {
	const char *service;
	const char *path;
	struct sockaddr_storage address;
	socklen_t address_len;
	struct stream *stream;       /* NULL: not connected */
	bool ready;                  /* the handshake is over */
	bool connecting;
	struct task_event changed;   /* of the three above */
	struct task_group reader;
	struct arena *arena;         /* names of the mechanisms */
	struct auth_mechanism mechanisms[AUTH_MECHANISMS_MAX];
	size_t mechanism_count;
	struct call *calls;
	uint64_t last_number;
};

/* --- where it is --- */

/* "inet:host:port": looked up now, while the system's files are in sight. */
static bool find_host(struct backend *b, const char *where, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
	struct slice rest = slice_of(where);
	ptrdiff_t colon = slice_rfind(rest, ':');
	char *host, *port;
	int error;

	if (colon <= 0)
		return err_set(err, ERR_SYNTAX, "smtpd_sasl_path = inet:%s: expected inet:host:port", where);
	port = mem_slicedup(slice_sub(rest, (size_t)colon + 1, rest.len));
	rest.len = (size_t)colon;
	if (rest.len > 1 && rest.ptr[0] == '[' && rest.ptr[rest.len - 1] == ']')
		rest = slice_sub(rest, 1, rest.len - 2);
	host = mem_slicedup(rest);
	error = getaddrinfo(host, port, &hints, &list);
	if (error == 0) {
		memcpy(&b->address, list->ai_addr, list->ai_addrlen);
		b->address_len = list->ai_addrlen;
		freeaddrinfo(list);
	}
	free(host);
	free(port);
	return error == 0 || err_set(err, ERR_TEMPORARY, "smtpd_sasl_path = inet:%s: %s", where, gai_strerror(error));
}

static bool find_socket(struct backend *b, const char *path, struct err *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&b->address;

	un->sun_family = AF_UNIX;
	if ((size_t)snprintf(un->sun_path, sizeof(un->sun_path), "%s", path) >= sizeof(un->sun_path))
		return err_set(err, ERR_SYNTAX, "smtpd_sasl_path = %s: the name is too long for a socket", path);
	b->address_len = sizeof(*un);
	return true;
}

static void dovecot_close(struct backend **b)
{
	task_group_cancel(&(*b)->reader);
	task_group_run(&(*b)->reader);
	if ((*b)->stream)
		stream_free(&(*b)->stream);
	if ((*b)->arena)
		arena_free(&(*b)->arena);
	free(*b);
	*b = NULL;
}

static struct backend *dovecot_open(const struct backend_settings *settings, struct err *err)
{
	struct backend *b = mem_alloc(sizeof(*b));
	struct slice path = slice_of(settings->path);
	bool ok;

	b->service = settings->sasl_service;
	b->path = settings->path;
	if (slice_starts(path, SLICE("inet:")))
		ok = find_host(b, settings->path + 5, err);
	else
		ok = find_socket(b, slice_starts(path, SLICE("unix:")) ? settings->path + 5 : settings->path, err);
	if (!ok)
		dovecot_close(&b);
	return b;
}

/* --- the connection --- */

static void disconnect(struct backend *b)
{
	b->ready = false;
	if (b->stream)
		stream_free(&b->stream);
	for (struct call *c = b->calls; c; c = c->next) {
		c->lost = true;
		task_event_signal(&c->event);
	}
	task_event_broadcast(&b->changed);
}

static bool open_socket(struct backend *b, double deadline, struct err *err)
{
	int error = 0;
	socklen_t len = sizeof(error);
	int fd = socket(b->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "socket for %s", b->path);
	if (connect(fd, (const struct sockaddr *)&b->address, b->address_len) != 0) {
		error = errno;
		if (error == EINPROGRESS && task_wait_fd(fd, TASK_WRITE, deadline) == TASK_READY &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
	}
	if (error) {
		close(fd);
		return err_set(err, ERR_TEMPORARY, "SASL: Connect to Dovecot auth socket '%s' failed: %s", b->path,
			       error == EINPROGRESS ? "Connection timed out" : strerror(error));
	}
	b->stream = stream_of_fd(fd);
	return true;
}

static bool take_handshake(struct backend *b, const struct dovecot_line *line, struct err *err)
{
	struct auth_mechanism *m = &b->mechanisms[b->mechanism_count];

	if (line->kind == DOVECOT_VERSION && line->number != 1)
		return err_set(err, ERR_TEMPORARY, "%s: version %llu of Dovecot's auth protocol; 1 is known", b->path,
			       (unsigned long long)line->number);
	if (line->kind != DOVECOT_MECHANISM || b->mechanism_count == AUTH_MECHANISMS_MAX)
		return true;
	m->name = arena_slice(b->arena, line->name);
	m->properties = line->properties;
	b->mechanism_count++;
	return true;
}

static bool shake_hands(struct backend *b, double deadline, struct err *err)
{
	struct dovecot_line line = { .kind = DOVECOT_OTHER };
	struct slice text;

	if (b->arena)
		arena_free(&b->arena);
	b->arena = arena_create(0);
	b->mechanism_count = 0;
	stream_set_deadline(b->stream, deadline);
	if (stream_printf(b->stream, "VERSION\t1\t1\nCPID\t%ld\n", (long)getpid()) != STREAM_OK)
		return err_set(err, ERR_TEMPORARY, "%s: cannot write", b->path);
	for (int i = 0; line.kind != DOVECOT_DONE; i++) {
		enum stream_status status = stream_read_line(b->stream, DOVECOT_LINE_MAX, &text, NULL);

		if (status != STREAM_OK)
			return err_set(err, ERR_TEMPORARY, "%s: handshake: %s", b->path, stream_status_text(status));
		if (i == HANDSHAKE_LINES || !dovecot_parse(text, &line))
			return err_set(err, ERR_TEMPORARY, "%s: malformed line in the handshake", b->path);
		if (!take_handshake(b, &line, err))
			return false;
	}
	return true;
}

static struct slice unescaped(struct arena *arena, struct slice text)
{
	struct str plain = { 0 };
	struct slice copy;

	dovecot_unescape(text, &plain);
	copy = arena_slice(arena, str_slice(&plain));
	str_free(&plain);
	return copy;
}

static void take_answer(struct backend *b, const struct dovecot_line *line)
{
	struct call *c = b->calls;

	while (c && c->number != line->number)
		c = c->next;
	/* Who gave up is not here any more. */
	if (!c || c->answered)
		return;
	c->answered = true;
	c->kind = line->kind;
	c->data = arena_slice(c->arena, line->data);
	c->user = unescaped(c->arena, line->user);
	c->reason = unescaped(c->arena, line->reason);
	c->code = arena_slice(c->arena, line->code);
	c->temporary = line->temporary;
	task_event_signal(&c->event);
}

static void read_answers(void *arg)
{
	struct backend *b = arg;
	struct dovecot_line line;
	struct slice text;

	for (;;) {
		enum stream_status status;

		stream_set_deadline(b->stream, TASK_FOREVER);
		status = stream_read_line(b->stream, DOVECOT_LINE_MAX, &text, NULL);
		if (status == STREAM_CANCELLED)
			return;
		if (status != STREAM_OK || !dovecot_parse(text, &line)) {
			if (status == STREAM_OK || b->calls)
				log_warning("%s: %s", b->path, status == STREAM_OK ? "malformed line" : stream_status_text(status));
			break;
		}
		if (line.kind == DOVECOT_CONTINUE || line.kind == DOVECOT_OK || line.kind == DOVECOT_FAIL)
			take_answer(b, &line);
	}
	disconnect(b);
}

/* By the one who finds no connection; the others wait for it. */
static bool connect_now(struct backend *b, double deadline, struct err *err)
{
	double end = loop_now() + HANDSHAKE_SECONDS;
	bool ok;

	b->connecting = true;
	if (end > deadline)
		end = deadline;
	ok = open_socket(b, end, err) && shake_hands(b, end, err);
	if (ok && !task_spawn(&b->reader, read_answers, b))
		ok = err_set(err, ERR_TEMPORARY, "out of memory");
	b->connecting = false;
	b->ready = ok;
	if (ok)
		task_event_broadcast(&b->changed);
	else
		disconnect(b);
	return ok;
}

static bool connected(struct backend *b, double deadline, struct err *err)
{
	while (b->connecting) {
		enum task_wait waited = task_event_wait(&b->changed, deadline);

		if (waited != TASK_READY)
			return err_set(err, ERR_TEMPORARY, "%s: no connection", b->path);
		if (!b->connecting && !b->ready)
			return err_set(err, ERR_TEMPORARY, "%s: no connection", b->path);
	}
	return b->ready || connect_now(b, deadline, err);
}

/* Whole, or the connection is given up: its reader may be waiting, so nobody waits to write. */
static bool send_line(struct backend *b, struct slice line)
{
	if (b->ready && send(stream_fd(b->stream), line.ptr, line.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)line.len)
		return true;
	if (b->ready)
		(void)shutdown(stream_fd(b->stream), SHUT_RDWR);
	return false;
}

/* --- a log-in --- */

static bool await_answer(struct call *c, double deadline)
{
	while (!c->answered && !c->lost)
		if (task_event_wait(&c->event, deadline) != TASK_READY)
			break;
	return c->answered;
}

static void take_failure(const struct login *login, const struct call *c, struct auth_answer *answer)
{
	bool known = slice_eq(c->code, SLICE("user_disabled")) || slice_eq(c->code, SLICE("pass_expired"));

	login_fail(login, answer,
		   c->temporary ? AUTH_REASON_BACKEND : known ? AUTH_REASON_REFUSED : AUTH_REASON_CREDENTIALS,
		   arena_cstr(login->arena, c->reason));
	answer->user = login_text(login->arena, c->user, SASL_LOGIN_MAX);
}

/* True: one more round.  The challenge is asked, and what comes back sent. */
static bool next_round(struct backend *b, struct login *login, struct call *c, struct auth_answer *answer)
{
	struct str bytes = { 0 }, line = { 0 };
	struct slice response;
	bool ok = base64_decode(c->data, &bytes) && bytes.len <= AUTH_MESSAGE_MAX;

	if (!ok) {
		login_fail(login, answer, AUTH_REASON_BACKEND, "malformed challenge from the authentication server");
	} else {
		c->answered = false;
		ok = login->ask(login, str_slice(&bytes), &response);
		if (ok) {
			str_printf(&line, "CONT\t%llu\t", (unsigned long long)c->number);
			base64_encode(response, &line);
		} else {
			str_printf(&line, "CANCEL\t%llu", (unsigned long long)c->number);
		}
		str_append_byte(&line, '\n');
		ok = !c->lost && send_line(b, str_slice(&line)) && ok;
	}
	str_free(&bytes);
	str_free(&line);
	return ok;
}

static void run_call(struct backend *b, struct login *login, struct call *c, struct auth_answer *answer)
{
	bool more = true;

	while (more && await_answer(c, loop_now() + AUTH_BACKEND_SECONDS)) {
		more = false;
		if (c->kind == DOVECOT_CONTINUE)
			more = next_round(b, login, c, answer);
		else if (c->kind == DOVECOT_FAIL)
			take_failure(login, c, answer);
		else if (!login_name_sound(c->user))
			login_fail(login, answer, AUTH_REASON_BACKEND, "missing Dovecot server OK username field");
		else
			login_succeed(login, answer, c->user);
	}
}

static void remove_call(struct backend *b, struct call *c)
{
	struct call **link = &b->calls;

	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
}

static bool is_known(const struct backend *b, struct slice name)
{
	for (size_t i = 0; i < b->mechanism_count; i++)
		if (slice_eq_nocase(b->mechanisms[i].name, name))
			return true;
	return false;
}

static void dovecot_login(struct backend *b, struct login *login, struct auth_answer *answer)
{
	struct call c = { .arena = login->arena };
	struct str line = { 0 };
	struct err err = { 0 };

	login_fail(login, answer, AUTH_REASON_BACKEND, LOST);
	if (!connected(b, login->deadline, &err)) {
		log_warning("%s", err.text);
		return;
	}
	if (!is_known(b, login->start.mechanism)) {
		login_fail(login, answer, AUTH_REASON_MECHANISM, "Invalid authentication mechanism");
		return;
	}
	/* Dovecot takes numbers of 32 bits. */
	b->last_number = (b->last_number + 1) & 0xffffffff;
	c.number = b->last_number;
	c.next = b->calls;
	b->calls = &c;
	dovecot_put_auth(&line, c.number, b->service, &login->start);
	if (send_line(b, str_slice(&line)))
		run_call(b, login, &c, answer);
	remove_call(b, &c);
	str_free(&line);
}

static bool dovecot_mechanisms(struct backend *b, double deadline, struct arena *arena, struct auth_mechanism *list,
			       size_t *count, struct err *err)
{
	if (!connected(b, deadline, err))
		return false;
	*count = b->mechanism_count;
	for (size_t i = 0; i < b->mechanism_count; i++) {
		list[i] = b->mechanisms[i];
		list[i].name = arena_slice(arena, list[i].name);
	}
	return true;
}

const struct backend_type backend_dovecot = {
	.name = "dovecot", .groups = SYS_UNIX | SYS_INET, .root = ROOT_NONE, .open = dovecot_open,
	.mechanisms = dovecot_mechanisms, .login = dovecot_login, .close = dovecot_close,
};
