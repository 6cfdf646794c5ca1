/* SPDX-License-Identifier: ISC */
/* The virtual delivery agent: mailboxes whose owners are numbers in tables.  See virtual(8) of Postfix. */
#include "common/base/log.h"
#include "common/mail/address.h"
#include "common/process/process.h"
#include "delivery/lib/agent.h"
#include "delivery/lib/launcher.h"
#include "tables/table.h"

enum { MAP_MAILBOX, MAP_UID, MAP_GID, MAP_COUNT };

static struct {
	const char *base, *delimiter;
	long minimum_uid;
	struct table_list *map[MAP_COUNT];
	struct launcher_rules rules;
	struct task_group tasks;
} me;

static const char *const map_names[] = { "virtual_mailbox_maps", "virtual_uid_maps", "virtual_gid_maps" };

/* user+ext@domain, user@domain, @domain; TABLE_ERROR: *o says so. */
static enum table_result look_up(const struct agent_job *job, int map, struct slice address, struct slice *value,
				 struct outcome *o)
{
	const struct table_address_style style = { me.delimiter, false, true };
	struct err err;
	enum table_result result = table_list_lookup_address(me.map[map], address, &style, job->arena, value, &err);

	if (result == TABLE_ERROR) {
		log_warning("%s", err.text);
		outcome_set_dsn(o, "4.3.5", "mail system configuration error");
	}
	return result;
}

/* A number of a user or group: without it, mail waits. */
static bool look_up_id(const struct agent_job *job, int map, struct slice address, long minimum, uint64_t *id,
		       struct outcome *o)
{
	struct slice value;
	enum table_result result = look_up(job, map, address, &value, o);

	if (result == TABLE_ERROR)
		return false;
	if (result == TABLE_FOUND && slice_to_u64(slice_trim(value), id) && *id > 0 && *id >= (uint64_t)minimum &&
	    *id < UINT32_MAX)
		return true;
	if (result == TABLE_NOT_FOUND)
		log_warning("recipient %.*s: not found in %s", SLICE_FMT(address), map_names[map]);
	else
		log_warning("recipient %.*s: bad id \"%.*s\" in %s (from %ld on)", SLICE_FMT(address), SLICE_FMT(value),
			    map_names[map], minimum);
	outcome_set_dsn(o, "4.3.5", "mail system configuration error");
	return false;
}

static void put_head(struct str *head, const struct agent_job *job, const struct message_recipient *r, bool mbox)
{
	struct slice sender = job->job.envelope.sender;
	const struct content_envelope e = { sender.len ? sender : SLICE("MAILER-DAEMON"), sender,
					    r->original.len ? r->original : r->address, r->address };

	content_head(head, &e, (mbox ? HEAD_FROM : 0) | HEAD_RETURN_PATH | HEAD_ORIGINAL_TO | HEAD_DELIVERED_TO);
}

static void store(struct agent_job *job, const struct message_recipient *r, struct slice value, struct launch *l,
		  struct outcome *o)
{
	struct str head = { 0 };
	bool mbox = value.ptr[value.len - 1] != '/';

	put_head(&head, job, r, mbox);
	l->fd = job->job.fd;
	l->head = str_slice(&head);
	l->flags = mbox ? CONTENT_QUOTE_FROM | CONTENT_BLANK_LINE : 0;
	l->mailbox = me.base[0] ? arena_printf(job->arena, "%s/%.*s", me.base, SLICE_FMT(value)) :
				  arena_cstr(job->arena, value);
	launcher_deliver(l, o);
	str_free(&head);
}

static struct slice lower(const struct agent_job *job, struct slice address)
{
	struct str folded = { 0 };

	str_append_lower(&folded, address);
	address = arena_slice(job->arena, str_slice(&folded));
	str_free(&folded);
	return address;
}

static void deliver_one(struct agent_job *job, const struct message_recipient *r, struct outcome *o)
{
	struct slice value, address = lower(job, r->address);
	struct launch l = { 0 };
	uint64_t uid, gid;

	if (content_was_delivered_to(&job->content, r->address)) {
		outcome_set_dsn(o, "5.4.6", "mail forwarding loop for %.*s", SLICE_FMT(r->address));
		return;
	}
	switch (look_up(job, MAP_MAILBOX, address, &value, o)) {
	case TABLE_ERROR:
		return;
	case TABLE_NOT_FOUND:
		outcome_set_dsn(o, "5.1.1", "unknown user: \"%.*s\"", SLICE_FMT(r->address));
		return;
	case TABLE_FOUND:
		break;
	}
	value = slice_trim(value);
	if (value.len == 0) {
		log_warning("recipient %.*s: empty path in %s", SLICE_FMT(address), map_names[MAP_MAILBOX]);
		outcome_set_dsn(o, "4.3.5", "mail system configuration error");
		return;
	}
	if (!look_up_id(job, MAP_UID, address, me.minimum_uid, &uid, o) || !look_up_id(job, MAP_GID, address, 1, &gid, o))
		return;
	if (job->job.probe) {
		outcome_set_dsn(o, "2.0.0", "delivers to mailbox");
		return;
	}
	l.user = (struct launch_user){ NULL, (uid_t)uid, (gid_t)gid };
	store(job, r, value, &l, o);
}

static void deliver(struct agent_job *job)
{
	for (size_t i = 0; i < job->job.envelope.recipient_count; i++) {
		double started = loop_now();
		struct outcome o = { 0 };

		deliver_one(job, &job->job.envelope.recipients[i], &o);
		agent_conclude(job, i, &o, started);
	}
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	me.base = config_text(c, "virtual_mailbox_base");
	me.delimiter = config_text(c, "recipient_delimiter");
	me.minimum_uid = config_int(c, "virtual_minimum_uid");
	me.rules = (struct launcher_rules){
		.minimum_uid = (uid_t)me.minimum_uid, .base = me.base[0] ? me.base : NULL,
		.limit = (uint64_t)config_int(c, "virtual_mailbox_limit"),
		.strict_owner = config_bool(c, "strict_mailbox_ownership"),
		.locks = { .attempts = (int)config_int(c, "deliver_lock_attempts"),
			   .delay = config_time(c, "deliver_lock_delay"), .stale = config_time(c, "stale_lock_time") },
	};
	if (!lock_parse(&me.rules.locks, config_text(c, "virtual_mailbox_lock"), err))
		return err_prefix(err, "parameter virtual_mailbox_lock");
	if (!launcher_start(&me.rules, err))
		return false;
	tables_use_config(c);
	tables_use_proxy(process_connect);
	for (int i = 0; i < MAP_COUNT; i++) {
		me.map[i] = table_list_open(config_text(c, map_names[i]), err);
		if (!me.map[i])
			return err_prefix(err, "parameter %s", map_names[i]);
	}
	return true;
}

static void watch_tables(void *arg)
{
	while (task_sleep(1.0) == TASK_READY && !process_retiring())
		for (int i = 0; i < MAP_COUNT; i++)
			if (table_list_changed(me.map[i]))
				process_retire("table changed");
}

static void start(const struct process_info *info)
{
	static const struct agent_ops ops = { .relay = "virtual", .deliver = deliver };

	agent_start(&ops, info);
	task_spawn(&me.tasks, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = agent_peer,
						.retire = agent_retire };

	return process_main(argc, argv, &ops);
}
