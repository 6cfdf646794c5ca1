/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "common/proto/cleanup_proto.h"
#include "delivery/lib/program.h"
#include "delivery/local/local.h"

static struct {
	struct local_settings settings;
	struct launcher_rules rules;
	struct arena *arena;
	struct task_group tasks;
} me;

static const char *const map_names[] = { "alias_maps", "mailbox_command_maps", "mailbox_transport_maps",
					 "fallback_transport_maps" };

static void deliver(struct agent_job *job)
{
	for (size_t i = 0; i < job->job.envelope.recipient_count; i++) {
		struct local_delivery d = { .settings = &me.settings, .job = job, .arena = job->arena,
					    .recipient = &job->job.envelope.recipients[i], .started = loop_now() };

		local_deliver(&d);
		agent_answer(job, i, &d.worst);
		free(d.seen);
	}
}

/* --- settings --- */

/* Words of a list as bits, the first of `names` being 1. */
static unsigned bits(const struct config *c, const char *parameter, const char *const *names)
{
	struct slice rest = slice_of(config_text(c, parameter)), word;
	unsigned set = 0;

	while (slice_word(&rest, " ,\t\r\n", &word)) {
		unsigned i = 0;

		while (names[i] && !slice_eq_nocase(word, slice_of(names[i])))
			i++;
		if (names[i])
			set |= 1u << i;
		else
			log_warning("parameter %s: \"%.*s\" is not known", parameter, SLICE_FMT(word));
	}
	return set;
}

static void load_settings(const struct config *c)
{
	static const char *const places[] = { "alias", "forward", "include", NULL };
	static const char *const delivered[] = { "command", "file", "forward", NULL };

	me.settings = (struct local_settings){
		.config = c,
		.delimiter = config_text(c, "recipient_delimiter"),
		.mailbox_root = config_text(c, "local_mailbox_root"),
		.default_privs = config_text(c, "default_privs"),
		.commands = bits(c, "allow_mail_to_commands", places),
		.files = bits(c, "allow_mail_to_files", places),
		.delivered = bits(c, "prepend_delivered_header", delivered),
		.duplicate_limit = config_int(c, "duplicate_filter_limit") > 0 ? (size_t)config_int(c, "duplicate_filter_limit") : SIZE_MAX,
		.owner_special = config_bool(c, "owner_request_special"),
		.expand_owner = config_bool(c, "expand_owner_alias"),
		.reset_owner = config_bool(c, "reset_owner_alias"),
	};
	environment_start(&me.settings.environment, PROGRAM_PATH, config_text(c, "export_environment"), me.arena);
	me.rules = (struct launcher_rules){
		.named_users = true, .programs = true,
		/* Names that are no users have mailboxes too then; they belong to the agent's own user. */
		.stand_in = me.settings.mailbox_root[0] ? "postrider-local" : NULL,
		.spool = config_text(c, "mail_spool_directory"),
		.limit = (uint64_t)config_int(c, "mailbox_size_limit"),
		.strict_owner = config_bool(c, "strict_mailbox_ownership"),
		.locks = { .attempts = (int)config_int(c, "deliver_lock_attempts"),
			   .delay = config_time(c, "deliver_lock_delay"), .stale = config_time(c, "stale_lock_time") },
	};
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	me.arena = arena_create(0);
	load_settings(c);
	if (!lock_parse(&me.rules.locks, config_text(c, "mailbox_delivery_lock"), err))
		return err_prefix(err, "parameter mailbox_delivery_lock");
	if (!launcher_start(&me.rules, err))
		return false;
	tables_use_config(c);
	tables_use_proxy(process_connect);
	for (int i = 0; i < MAP_COUNT; i++) {
		me.settings.map[i] = table_list_open(config_text(c, map_names[i]), err);
		if (!me.settings.map[i])
			return err_prefix(err, "parameter %s", map_names[i]);
	}
	me.settings.router = router_create_for_delivery(c, err);
	return me.settings.router;
}

static bool tables_changed(void)
{
	for (int i = 0; i < MAP_COUNT; i++)
		if (table_list_changed(me.settings.map[i]))
			return true;
	return router_changed(me.settings.router);
}

static void watch_tables(void *arg)
{
	while (task_sleep(1.0) == TASK_READY && !process_retiring())
		if (tables_changed())
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	static const struct agent_ops ops = { .relay = "local", .deliver = deliver };

	me.settings.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	agent_start(&ops, info);
	task_spawn(&me.tasks, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = agent_peer,
						.retire = agent_retire };

	return process_main(argc, argv, &ops);
}
