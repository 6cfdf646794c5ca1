/* SPDX-License-Identifier: ISC */
/* verify: tells smtpd whether an address can be delivered to, from its cache or by a probe. */
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "tables/table.h"
#include "verify/probe.h"
#include "verify/record.h"
#include "verify/store.h"

#define TABLE_CHECK  1.0
#define WAITING_MAX  5000      /* questions that wait for a probe */

/* A probe under way. */
struct running {
	struct running *next;
	struct slice address;
	struct arena *arena;
	struct verify_result result;
	bool done;
	size_t waiting;            /* questions */
	struct task_event event;
};

struct caller {
	struct ipc_channel *channel;   /* NULL: gone, though it has questions yet */
	size_t questions;
};

struct question {
	struct caller *caller;
	struct running *running;
	uint32_t request;
	double wait;
};

static struct {
	struct store *store;
	struct record_rules rules;
	struct running *running;
	size_t running_count, limit;
	double clean_every;
	struct task_group probes, questions, background;
} me;

/* --- the cache --- */

static enum record_use look_up(struct slice address, struct record *record)
{
	struct arena *arena = arena_create(0);
	enum record_use use = RECORD_GONE;
	struct slice value;

	if (store_get(me.store, address, arena, &value) && record_parse(value, record))
		use = record_judge(record, &me.rules, (double)time(NULL));
	arena_free(&arena);
	return use;
}

static void remember(struct slice address, const struct verify_result *result)
{
	struct record news = { *result, (double)time(NULL) }, known;
	bool has_known = look_up(address, &known) != RECORD_GONE;
	struct str value = { 0 };

	if (!record_replaces(&news, has_known ? &known : NULL, &me.rules))
		return;
	record_format(&news, &value);
	store_put(me.store, address, str_slice(&value));
	str_free(&value);
}

static bool is_kept(struct slice key, struct slice value, void *context)
{
	struct record record;

	return record_parse(value, &record) && record_judge(&record, &me.rules, (double)time(NULL)) != RECORD_GONE;
}

static void clean(void *arg)
{
	while (me.clean_every > 0 && task_sleep(me.clean_every) == TASK_READY && !process_retiring()) {
		size_t removed = store_clean(me.store, is_kept, NULL);

		if (removed > 0)
			log_info("cache: %zu expired addresses removed", removed);
	}
}

/* --- probes --- */

static void release_running(struct running *r)
{
	struct arena *arena = r->arena;

	if (r->done && r->waiting == 0)
		arena_free(&arena);
}

static void run_probe(void *arg)
{
	struct running *r = arg, **link = &me.running;

	probe_address(r->address, &r->result);
	remember(r->address, &r->result);
	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	me.running_count--;
	r->done = true;
	task_event_broadcast(&r->event);
	release_running(r);
	process_busy(-1);
}

/* The one that is under way, or a new one; NULL: there are too many. */
static struct running *start_probe(struct slice address)
{
	struct running *r = me.running;
	struct arena *arena;

	while (r && !slice_eq(r->address, address))
		r = r->next;
	if (r)
		return r;
	if (me.running_count >= me.limit) {
		log_warning("too many probes at a time: address %.*s is not probed now", SLICE_FMT(address));
		return NULL;
	}
	arena = arena_create(512);
	r = arena_alloc(arena, sizeof(*r));
	r->arena = arena;
	r->address = arena_slice(arena, address);
	r->next = me.running;
	if (!task_spawn(&me.probes, run_probe, r)) {
		arena_free(&arena);
		return NULL;
	}
	me.running = r;
	me.running_count++;
	process_busy(1);
	return r;
}

/* --- questions --- */

static void release_caller(struct caller *c)
{
	if (!c->channel && c->questions == 0)
		free(c);
}

static void send_answer(const struct caller *c, uint32_t request, const struct verify_result *result)
{
	struct ipc_out out;

	if (c->channel && verify_put_answer(&out, request, result))
		(void)ipc_send(c->channel, &out);
}

static void await_probe(void *arg)
{
	struct question *q = arg;
	struct running *r = q->running;
	double until = loop_now() + q->wait;

	while (!r->done && task_event_wait(&r->event, until) == TASK_READY)
		;
	send_answer(q->caller, q->request, r->done ? &r->result : &(struct verify_result){ .status = VERIFY_UNKNOWN });
	r->waiting--;
	release_running(r);
	q->caller->questions--;
	release_caller(q->caller);
	free(q);
	process_busy(-1);
}

static bool start_question(struct caller *c, uint32_t request, struct running *r, double wait)
{
	struct question *q;

	if (!r || wait <= 0 || me.questions.count >= WAITING_MAX)
		return false;
	q = mem_alloc(sizeof(*q));
	*q = (struct question){ c, r, request, wait };
	r->waiting++;
	c->questions++;
	process_busy(1);
	if (task_spawn(&me.questions, await_probe, q))
		return true;
	r->waiting--;
	c->questions--;
	process_busy(-1);
	free(q);
	return false;
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct caller *c = context;
	struct running *r = NULL;
	struct record record;
	enum record_use use;
	struct slice address;
	struct err err;
	double wait;

	if (!verify_get_query(m, &address, &wait, &err)) {
		log_warning("smtpd: %s", err.text);
		return;
	}
	use = look_up(address, &record);
	if (use != RECORD_GOOD)
		r = start_probe(address);
	if (use != RECORD_GONE)
		send_answer(c, m->request, &record.result);
	else if (!start_question(c, m->request, r, wait))
		send_answer(c, m->request, &(struct verify_result){ .status = VERIFY_UNKNOWN });
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct caller *c = context;

	ipc_channel_free(&c->channel);
	release_caller(c);
}

static void accept_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct caller *c = mem_alloc(sizeof(*c));

	c->channel = ipc_channel_create(fd, &verify_protocol, &handler, c);
}

/* --- the process --- */

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	me.rules = (struct record_rules){ config_time(c, "address_verify_positive_expire_time"),
					  config_time(c, "address_verify_positive_refresh_time"),
					  config_time(c, "address_verify_negative_expire_time"),
					  config_time(c, "address_verify_negative_refresh_time"),
					  config_bool(c, "address_verify_negative_cache") };
	me.limit = (size_t)config_int(c, "address_verify_pending_request_limit");
	me.clean_every = config_time(c, "address_verify_cache_cleanup_interval");
	tables_use_config(c);
	tables_use_proxy(process_connect);
	me.store = store_open(config_text(c, "address_verify_map"), config_text(c, "data_directory"), err);
	return me.store && probe_open(c, err);
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY && !process_retiring())
		if (probe_tables_changed())
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	task_spawn(&me.background, watch_tables, NULL);
	task_spawn(&me.background, clean, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = accept_peer };

	return process_main(argc, argv, &ops);
}
