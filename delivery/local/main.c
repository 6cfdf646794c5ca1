/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/mail/delivery_log.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "delivery/local/local.h"
#include "routing/route.h"
#include "tables/table.h"

#define ALIAS_DEPTH 20
#define ALIAS_LIMIT 10000

static struct {
	struct local_settings settings;
	struct table_list *aliases;
	struct router *router;
	struct ipc_client *cleanup;
	struct ipc_channel *qmgr;
	struct task_group tasks;
} me;

/* --- aliases --- */

struct expansion {
	const struct local_delivery *d;
	struct slice users[ALIAS_LIMIT / 10], remote[ALIAS_LIMIT / 10];
	size_t user_count, remote_count;
	struct slice seen[ALIAS_LIMIT / 10];
	size_t seen_count;
	struct local_outcome failure;   /* outcome 0: none */
};

static void fail(struct expansion *x, enum delivery_outcome outcome, const char *dsn, const char *text)
{
	if (!x->failure.outcome)
		x->failure = (struct local_outcome){ outcome, dsn, text };
}

static bool add(struct expansion *x, struct slice *list, size_t *count, struct slice what)
{
	for (size_t i = 0; i < *count; i++)
		if (slice_eq_nocase(list[i], what))
			return false;
	if (*count == ALIAS_LIMIT / 10) {
		fail(x, DELIVERY_BOUNCED, "5.4.6", "alias expands to too many addresses");
		return false;
	}
	list[(*count)++] = arena_slice(x->d->arena, what);
	return true;
}

static void expand_address(struct expansion *x, struct slice address, int depth);

static void expand_value(struct expansion *x, struct slice value, int depth)
{
	struct address_list list;
	struct err err;

	if (slice_find(value, '|') >= 0 || slice_find(value, '/') == 0 || slice_starts_nocase(value, SLICE(":include:"))) {
		fail(x, DELIVERY_DEFERRED, "4.3.5", "commands, files and :include: in aliases are not supported yet");
		return;
	}
	if (!address_parse_list(value, x->d->arena, &list, &err)) {
		fail(x, DELIVERY_DEFERRED, "4.3.5", arena_printf(x->d->arena, "bad alias: %s", err.text));
		return;
	}
	for (size_t i = 0; i < list.count; i++)
		expand_address(x, list.address[i], depth + 1);
}

static void expand_user(struct expansion *x, struct slice local, int depth)
{
	struct slice user, extension, value;
	struct err err;
	enum table_result result;

	address_split_extension(local, me.settings.recipient_delimiter, &user, &extension);
	if (!add(x, x->seen, &x->seen_count, local)) {
		/* An alias that names itself means the user of that name. */
		add(x, x->users, &x->user_count, user);
		return;
	}
	result = table_list_lookup(me.aliases, local, x->d->arena, &value, &err);
	if (result == TABLE_NOT_FOUND && !slice_eq(user, local))
		result = table_list_lookup(me.aliases, user, x->d->arena, &value, &err);
	if (result == TABLE_ERROR) {
		log_warning("%s", err.text);
		fail(x, DELIVERY_DEFERRED, "4.3.0", "alias lookup failed");
	} else if (result == TABLE_FOUND) {
		expand_value(x, value, depth);
	} else {
		add(x, x->users, &x->user_count, user);
	}
}

static void expand_address(struct expansion *x, struct slice address, int depth)
{
	struct route route;
	struct slice local, domain;
	struct err err;

	if (address.len > 0 && address.ptr[0] == '\\') {
		add(x, x->users, &x->user_count, slice_sub(address, 1, address.len));
		return;
	}
	if (depth > ALIAS_DEPTH) {
		fail(x, DELIVERY_BOUNCED, "5.4.6", "aliases are nested too deep");
		return;
	}
	if (!router_resolve(me.router, address, x->d->job->envelope.sender, x->d->arena, &route, &err)) {
		log_warning("%s", err.text);
		fail(x, DELIVERY_DEFERRED, "4.3.0", "address resolution failed");
		return;
	}
	address_split(route.address, &local, &domain);
	if (route.class_ == ROUTE_LOCAL)
		expand_user(x, local, depth);
	else
		add(x, x->remote, &x->remote_count, route.address);
}

/* --- one recipient --- */

/* The worst of all decides: later trouble must not hide behind an earlier success. */
static void merge(struct local_outcome *all, struct local_outcome one)
{
	static const int rank[] = { [DELIVERY_SENT] = 1, [DELIVERY_BOUNCED] = 2, [DELIVERY_DEFERRED] = 3 };

	if (all->outcome == 0 || rank[one.outcome] > rank[all->outcome])
		*all = one;
}

static struct local_outcome deliver(const struct local_delivery *d)
{
	struct expansion *x = mem_alloc(sizeof(*x));
	struct local_outcome outcome = { 0 };
	struct slice local, domain;

	if (content_was_delivered_to(d, d->recipient->address)) {
		free(x);
		return (struct local_outcome){ DELIVERY_BOUNCED, "5.4.6",
					       arena_printf(d->arena, "mail forwarding loop for %.*s",
							    SLICE_FMT(d->recipient->address)) };
	}
	x->d = d;
	address_split(d->recipient->address, &local, &domain);
	expand_user(x, local, 0);
	if (x->failure.outcome) {
		outcome = x->failure;
	} else {
		for (size_t i = 0; i < x->user_count; i++)
			merge(&outcome, mailbox_deliver(d, &me.settings, x->users[i]));
		if (x->remote_count)
			merge(&outcome, forward_message(d, me.cleanup, x->remote, x->remote_count));
		if (!outcome.outcome)
			outcome = (struct local_outcome){ DELIVERY_SENT, "2.0.0", "alias expands to nobody: discarded" };
	}
	free(x);
	return outcome;
}

static void answer(const struct delivery_job *job, size_t i, struct local_outcome outcome, double started)
{
	static const char *const words[] = { [DELIVERY_SENT] = "sent", [DELIVERY_DEFERRED] = "deferred",
					     [DELIVERY_BOUNCED] = "bounced" };
	const struct message_recipient *r = &job->envelope.recipients[i];
	struct delivery_result result = { job->index[i], outcome.outcome, slice_of(outcome.dsn), SLICE("local"),
					  slice_of(outcome.text), SLICE_NONE };
	struct ipc_out packet;

	delivery_log(&(struct delivery_log){
		.queue_id = job->queue_id, .recipient = r->address, .original = r->original, .relay = SLICE("local"),
		.arrival = job->envelope.arrival, .queued = job->queued, .setup = started, .transmission = started,
		.end = loop_now(), .dsn = result.dsn, .status = words[outcome.outcome], .reason = result.text });
	if (me.qmgr && delivery_put_result(&packet, job->id, &result))
		(void)ipc_send(me.qmgr, &packet);
}

struct work {
	struct arena *arena;
	struct delivery_job job;
};

static void run_job(void *arg)
{
	struct work *w = arg;
	struct arena *arena = w->arena;
	struct local_delivery d = { .job = &w->job, .arena = arena };
	struct ipc_out packet;
	struct err err;

	if (!message_read_new_header(w->job.fd, &w->job.layout, arena, &d.new_header, &err)) {
		log_warning("%.*s: %s", SLICE_FMT(w->job.queue_id), err.text);
	} else {
		for (size_t i = 0; i < w->job.envelope.recipient_count; i++) {
			double started = loop_now();

			d.recipient = &w->job.envelope.recipients[i];
			answer(&w->job, i, deliver(&d), started);
		}
	}
	close(w->job.fd);
	/* Recipients without a result are deferred by qmgr. */
	if (me.qmgr && delivery_put_done(&packet, w->job.id, false, false))
		(void)ipc_send(me.qmgr, &packet);
	arena_free(&arena);
	process_busy(-1);
}

/* --- qmgr --- */

static void on_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&me.qmgr);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct arena *arena = arena_create(4096);
	struct work *w = arena_alloc(arena, sizeof(*w));
	struct err err;

	w->arena = arena;
	if (m->type != DELIVERY_JOB || !delivery_get_job(m, arena, &w->job, &err)) {
		log_warning("bad message %u from qmgr", m->type);
		arena_free(&arena);
		return;
	}
	process_busy(1);
	if (!task_spawn(&me.tasks, run_job, w)) {
		close(w->job.fd);
		arena_free(&arena);
		process_busy(-1);
	}
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct ipc_out packet;

	if (me.qmgr) {
		close(fd);
		return;
	}
	me.qmgr = ipc_channel_create(fd, &delivery_protocol, &handler, NULL);
	if (delivery_put_ready(&packet, 1))
		(void)ipc_send(me.qmgr, &packet);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	tables_use_config(c);
	tables_use_proxy(process_connect);
	me.settings = (struct local_settings){
		.recipient_delimiter = config_text(c, "recipient_delimiter"),
		.home_mailbox = config_text(c, "home_mailbox"),
		.mail_spool_directory = config_text(c, "mail_spool_directory"),
		.mailbox_root = config_text(c, "local_mailbox_root"),
		.mail_owner = config_text(c, "mail_owner"),
		.mailbox_size_limit = (uint64_t)config_int(c, "mailbox_size_limit"),
	};
	me.aliases = table_list_open(config_text(c, "alias_maps"), err);
	if (me.aliases)
		me.router = router_create(c, err);
	return me.aliases && me.router;
}

static void watch_tables(void *arg)
{
	while (task_sleep(1.0) == TASK_READY && !process_retiring())
		if (table_list_changed(me.aliases) || router_changed(me.router))
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	me.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	task_spawn(&me.tasks, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = peer };

	return process_main(argc, argv, &ops);
}
