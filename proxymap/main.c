/* SPDX-License-Identifier: ISC */
/*
 * proxymap: asks the tables that need a server, a socket or a program, for processes in a sandbox.
 * A task a question; what blocks in a client library is in a worker thread, so many a table at
 * most that a slow server holds up the questions to its own table only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "common/process/service_table.h"
#include "common/proto/proxymap_proto.h"
#include "proxymap/approved.h"
#include "proxymap/service.h"
#include "tables/servers/pool.h"
#include "tables/servers/servers.h"

#define TABLE_CHECK    1.0     /* seconds between looks at the files of tables */
#define OPEN_AGAIN     5.0     /* how long a table that could not be opened stays so */
#define QUESTIONS_MAX  5000    /* at a time; each has a task */
#define OTHER_THREADS  16      /* for types that are not servers' */

struct caller {
	struct ipc_channel *channel; /* NULL: gone, though it has questions yet */
	const char *role;
	size_t questions;
};

struct question {
	struct caller *caller;
	uint32_t request;
	struct approved_table *table;
	struct arena *arena;
	struct slice key;
};

static struct {
	struct approved *approved;
	struct task_group questions, background;
	double started;
} me;

/* --- answers --- */

static void release(struct caller *c)
{
	if (c->channel || c->questions > 0)
		return;
	free(c);
}

static void send_answer(struct caller *c, uint32_t request, enum proxymap_status status, struct slice text)
{
	struct proxymap_answer answer = { status, text };
	struct ipc_out m;

	if (!c->channel)
		return;
	if (!proxymap_put_answer(&m, request, &answer)) {
		answer = (struct proxymap_answer){ PROXYMAP_ERROR, SLICE("the result is too large") };
		if (!proxymap_put_answer(&m, request, &answer))
			return;
	}
	(void)ipc_send(c->channel, &m);
	for (int i = 0; i < m.fd_count; i++)
		close(m.fds[i]);
}

/* Also logged here: this is where an administrator looks for a server that fails. */
static void send_error(struct caller *c, uint32_t request, const char *text)
{
	log_warning("%s", text);
	send_answer(c, request, PROXYMAP_ERROR, slice_of(text));
}

/* A file that was missing may be there, or may be right by now: the next process opens all anew. */
static void say_not_open(struct caller *c, uint32_t request, const struct approved_table *t)
{
	send_error(c, request, t->reason.text);
	if (loop_now() - me.started > OPEN_AGAIN)
		process_retire("a table could not be opened");
}

/* --- questions --- */

static void answer(void *arg)
{
	struct question *q = arg;
	struct arena *arena = q->arena;
	struct caller *c = q->caller;
	struct err err = { 0 };
	struct slice value;

	switch (table_lookup(q->table->table, q->key, arena, &value, &err)) {
	case TABLE_FOUND:
		send_answer(c, q->request, PROXYMAP_FOUND, value);
		break;
	case TABLE_NOT_FOUND:
		send_answer(c, q->request, PROXYMAP_NOT_FOUND, SLICE_NONE);
		break;
	case TABLE_ERROR:
		send_error(c, q->request, err.text);
		break;
	}
	c->questions--;
	release(c);
	arena_free(&arena);
	process_busy(-1);
}

static void start_task(struct caller *c, const struct question *question, void (*run)(void *arg))
{
	uint32_t request = question->request;
	struct arena *arena;
	struct question *q;

	if (me.questions.count >= QUESTIONS_MAX) {
		send_error(c, request, "too many questions at a time");
		return;
	}
	arena = arena_create(1024);
	q = arena_alloc(arena, sizeof(*q));
	*q = *question;
	q->arena = arena;
	q->key = arena_slice(arena, question->key);
	if (!task_spawn(&me.questions, run, q)) {
		arena_free(&arena);
		send_error(c, request, "no memory for a question");
		return;
	}
	c->questions++;
	process_busy(1);
}

/* --- connections --- */

static void answer_connect(void *arg)
{
	struct question *q = arg;
	struct arena *arena = q->arena;
	struct caller *c = q->caller;
	struct err err = { 0 };
	struct ipc_out m;
	int fd = service_connect(q->key, &err);

	if (fd < 0) {
		send_error(c, q->request, err.text);
	} else if (c->channel && proxymap_put_connected(&m, q->request, fd)) {
		(void)ipc_send(c->channel, &m);
	}
	if (fd >= 0)
		close(fd);
	c->questions--;
	release(c);
	arena_free(&arena);
	process_busy(-1);
}

static void say_not_approved(struct caller *c, uint32_t request, struct slice spec)
{
	char text[200];

	snprintf(text, sizeof(text), "%s asks for table %.*s, which %s", c->role,
		 SLICE_FMT(slice_sub(spec, 0, 100)),
		 slice_starts(spec, SLICE("proxy:")) ? "proxy_read_maps does not have" :
						       "neither main.cf, master.cf nor proxy_read_maps names");
	send_error(c, request, text);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct caller *c = context;
	struct proxymap_question question;
	struct approved_table *table;
	struct question q = { .caller = c, .request = m->request };

	if (proxymap_get_connect(m, &q.key)) {
		if (service_is_approved(me.approved, q.key))
			start_task(c, &q, answer_connect);
		else
			say_not_approved(c, m->request, q.key);
		return;
	}
	if (!proxymap_get_question(m, &question)) {
		log_warning("malformed question from %s", c->role);
		send_answer(c, m->request, PROXYMAP_ERROR, SLICE("malformed question"));
		return;
	}
	table = approved_find(me.approved, question.table);
	q.table = table;
	q.key = question.key;
	if (!table || table->service)
		say_not_approved(c, m->request, question.table);
	else if (!table->table)
		say_not_open(c, m->request, table);
	else
		start_task(c, &q, answer);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct caller *c = context;

	ipc_channel_free(&c->channel);
	release(c);
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct caller *c = mem_alloc(sizeof(*c));
	const struct service_row *row = service_row_find(role);

	c->role = row ? row->command : "a process";
	c->channel = ipc_channel_create(fd, &proxymap_protocol, &handler, c);
}

/* --- the process --- */

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY) {
		if (process_retiring())
			return;
		if (approved_changed(me.approved)) {
			process_retire("table changed");
			return;
		}
	}
}

static bool open_process(const struct process_info *info, struct err *err)
{
	tables_use_config(info->config);
	server_types_add();
	me.approved = approved_create(info->config);
	service_open(info->config);
	/* A thread for each lookup that may be under way. */
	task_offload_threads((int)approved_count(me.approved) * SERVER_LOOKUPS + OTHER_THREADS);
	return true;
}

static void start(const struct process_info *info)
{
	me.started = loop_now();
	(void)!task_spawn(&me.background, watch_tables, NULL);
}

static void retire(void)
{
	task_group_cancel(&me.background);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = peer, .retire = retire };

	return process_main(argc, argv, &ops);
}
