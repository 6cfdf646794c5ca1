/* SPDX-License-Identifier: ISC */
/*
 * Who talks to the queue manager: cleanup (new mail) and showq through
 * master, commands through public/qmgr.  What each may say is this table and nothing else.
 */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/proto/qmgr_proto.h"
#include "qmgr/qmgr.h"
#include "qmgr/sites.h"

enum who { WHO_CLEANUP = 1, WHO_SHOWQ = 2, WHO_ANYBODY = 4, WHO_OWNER = 8, WHO_SMTPD = 16 };

#define CREDIT_MAX   512    /* files that cleanup is given back at most for those that it has used */
#define RETURN_PIECE 16
#define RETURN_DELAY 0.02
#define COMMANDS_MAX 100    /* connected at a time: beyond that the oldest goes */

struct caller {
	struct caller *next;
	struct ipc_channel *channel;
	unsigned who;
	size_t credit;          /* of cleanup: files that it used and would have back */
};

static struct {
	struct caller *cleanups;
	struct caller *commands; /* newest first */
	size_t command_count;
	bool flooded;
	char returned[RETURN_PIECE][MESSAGE_NAME_SIZE]; /* names that are not sent yet */
	size_t returned_count;
	ev_timer timer;
} me;

static void answer(struct caller *c, const struct ipc_in *m, uint64_t count, const char *text)
{
	struct ipc_out out;

	ipc_out_start(&out, QMGR_RESULT, m->request);
	ipc_put_u64(&out, QMGR_FIELD_COUNT, count);
	ipc_put_text(&out, QMGR_FIELD_TEXT, text);
	(void)ipc_send(c->channel, &out);
}

static void take_new(struct caller *c, struct ipc_in *m)
{
	size_t pos = 0;
	struct ipc_field f;

	while (ipc_next(m, &pos, &f)) {
		if (f.field != QMGR_FIELD_ID || f.kind != 's' || !message_id_valid(f.bytes))
			continue;
		if (c->credit < CREDIT_MAX)
			c->credit++;
		queue_take(f.bytes);
	}
}

/* --- in_flow_delay --- */

static void tell_flow(struct caller *c)
{
	struct ipc_out m;

	ipc_out_start(&m, QMGR_FLOW, 0);
	ipc_put_u64(&m, QMGR_FIELD_COUNT, me.flooded);
	(void)ipc_send(c->channel, &m);
}

void control_flow(bool flooded)
{
	if (flooded == me.flooded)
		return;
	me.flooded = flooded;
	for (struct caller *c = me.cleanups; c; c = c->next)
		tell_flow(c);
}

/* --- files for cleanup to use again --- */

static void send_returned(void)
{
	struct ipc_out m;

	ev_timer_stop(loop_get(), &me.timer);
	ipc_out_start(&m, QMGR_RETURNED, 0);
	while (me.returned_count > 0)
		ipc_put_text(&m, QMGR_FIELD_FILE, me.returned[--me.returned_count]);
	/* Lost with its receiver: the next look at the directory removes them. */
	if (me.cleanups)
		(void)ipc_send(me.cleanups->channel, &m);
}

static void on_return_delay(struct ev_loop *loop, ev_timer *timer, int events)
{
	send_returned();
}

bool control_give_back(const char *name)
{
	struct caller *c = me.cleanups;

	if (!c || c->credit == 0)
		return false;
	c->credit--;
	if (me.returned_count == 0) {
		ev_timer_init(&me.timer, on_return_delay, RETURN_DELAY, 0);
		ev_timer_start(loop_get(), &me.timer);
	}
	snprintf(me.returned[me.returned_count++], MESSAGE_NAME_SIZE, "%s", name);
	if (me.returned_count == RETURN_PIECE)
		send_returned();
	return true;
}

static void flush(struct caller *c, struct ipc_in *m)
{
	answer(c, m, queue_flush(), "");
}

static void flush_site(struct caller *c, struct ipc_in *m)
{
	static const char *const words[] = { [FLUSH_STARTED] = "", [FLUSH_NOT_ELIGIBLE] = "not eligible",
					     [FLUSH_MALFORMED] = "malformed", [FLUSH_LATER] = "try again later" };
	enum qmgr_flush result = FLUSH_MALFORMED;
	struct slice site;

	if (ipc_get_bytes(m, QMGR_FIELD_SITE, &site))
		result = sites_flush(site);
	answer(c, m, (uint64_t)result, words[result]);
}

static void flush_id(struct caller *c, struct ipc_in *m)
{
	struct slice id;
	bool found = ipc_get_bytes(m, QMGR_FIELD_ID, &id) && queue_flush_message(id);

	answer(c, m, found, "");
}

static void delete_messages(struct caller *c, struct ipc_in *m)
{
	struct slice id;
	size_t count = 0;

	if (ipc_get_bytes(m, QMGR_FIELD_ID, &id))
		count = slice_eq(id, SLICE("ALL")) ? queue_delete_all() : (size_t)queue_delete(id);
	answer(c, m, count, "");
}

static void hold_messages(struct caller *c, struct ipc_in *m)
{
	struct slice id;

	answer(c, m, ipc_get_bytes(m, QMGR_FIELD_ID, &id) ? queue_hold(id) : 0, "");
}

static void release_messages(struct caller *c, struct ipc_in *m)
{
	struct slice id;

	answer(c, m, ipc_get_bytes(m, QMGR_FIELD_ID, &id) ? queue_release(id) : 0, "");
}

static bool put_entry(struct caller *c, const struct ipc_in *m, struct ipc_out *out, const char *id, const char *state)
{
	if (ipc_out_room(out) < 256) {
		if (!ipc_send(c->channel, out))
			return false;
		ipc_out_start(out, QMGR_ENTRIES, m->request);
	}
	ipc_put_text(out, QMGR_FIELD_ID, id);
	ipc_put_text(out, QMGR_FIELD_QUEUE, state);
	return true;
}

static void list(struct caller *c, struct ipc_in *m)
{
	const struct deferred_message *d;
	struct ipc_out out;
	bool ok = true;

	ipc_out_start(&out, QMGR_ENTRIES, m->request);
	for (const struct message *a = queue_active_first(); ok && a; a = a->next)
		ok = put_entry(c, m, &out, a->id.ptr, "active");
	for (size_t i = 0; ok && (d = deferred_at(queue_deferred(), i)); i++)
		ok = put_entry(c, m, &out, d->id, "deferred");
	for (size_t i = 0; ok && (d = deferred_at(queue_held(), i)); i++)
		ok = put_entry(c, m, &out, d->id, "hold");
	if (!ok || !ipc_send(c->channel, &out))
		return;
	ipc_out_start(&out, QMGR_END, m->request);
	(void)ipc_send(c->channel, &out);
}

static const struct {
	uint16_t type;
	unsigned who;
	void (*run)(struct caller *c, struct ipc_in *m);
} allowed[] = {
	{ QMGR_NEW, WHO_CLEANUP, take_new },
	{ QMGR_LIST, WHO_SHOWQ | WHO_OWNER, list },
	{ QMGR_FLUSH, WHO_ANYBODY | WHO_OWNER, flush },
	{ QMGR_FLUSH_SITE, WHO_ANYBODY | WHO_OWNER | WHO_SMTPD, flush_site },
	{ QMGR_FLUSH_ID, WHO_ANYBODY | WHO_OWNER, flush_id },
	{ QMGR_DELETE, WHO_OWNER, delete_messages },
	{ QMGR_HOLD, WHO_OWNER, hold_messages },
	{ QMGR_RELEASE, WHO_OWNER, release_messages },
};

static bool unlink_caller(struct caller **list, struct caller *c)
{
	while (*list && *list != c)
		list = &(*list)->next;
	if (!*list)
		return false;
	*list = c->next;
	return true;
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct caller *c = context;

	if (unlink_caller(&me.commands, c))
		me.command_count--;
	else
		unlink_caller(&me.cleanups, c);
	ipc_channel_free(&c->channel);
	free(c);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct caller *c = context;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		if (allowed[i].type != m->type)
			continue;
		if (allowed[i].who & c->who)
			allowed[i].run(c, m);
		else
			answer(c, m, 0, "not allowed");
		return;
	}
	log_warning("unknown message %u: closing the connection", m->type);
	on_close(ch, c);
}

static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };

/* Any user may run commands, and leave them hanging: that must not use up our descriptors. */
static void add_command(struct caller *c)
{
	unsigned uid;

	if (ipc_peer_uid(c->channel, &uid))
		c->who = uid == 0 || uid == geteuid() ? WHO_OWNER : WHO_ANYBODY;
	c->next = me.commands;
	me.commands = c;
	if (++me.command_count <= COMMANDS_MAX)
		return;
	while (c->next)
		c = c->next;
	on_close(c->channel, c);
}

static unsigned role_of(const char *role)
{
	return strcmp(role, "cleanup") == 0 ? WHO_CLEANUP : strcmp(role, "showq") == 0 ? WHO_SHOWQ :
	       strcmp(role, "smtpd") == 0 ? WHO_SMTPD : 0;
}

void control_accept(int fd, const char *role)
{
	struct caller *c = mem_alloc(sizeof(*c));

	c->channel = ipc_channel_create(fd, &qmgr_protocol, &handler, c);
	if (role)
		c->who = role_of(role);
	else
		add_command(c);
	if (c->who == WHO_CLEANUP) {
		c->next = me.cleanups;
		me.cleanups = c;
		if (me.flooded)
			tell_flow(c);
		queue_scan(); /* for what a predecessor has not told of */
	}
}
