/* SPDX-License-Identifier: ISC */
#include "common/base/log.h"
#include "common/config/params.h"
#include "common/process/environment.h"
#include "delivery/lib/agent.h"
#include "delivery/lib/launcher.h"
#include "delivery/lib/program.h"
#include "delivery/pipe/pipe.h"

static struct {
	const struct process_info *info;
	struct arena *arena;
	struct pipe_attributes attributes;
	struct environment environment;
	struct launcher_rules rules;
	double time_limit;
	long recipient_limit;
	const char *success;
} me;

/* What stands in the way of running the program at all. */
static bool may_deliver(struct agent_job *job, struct outcome *o)
{
	const struct pipe_attributes *a = &me.attributes;
	const struct message_recipient *first = &job->job.envelope.recipients[0];

	if (a->flags & (PIPE_DELIVERED_TO | PIPE_ORIGINAL_TO) && me.recipient_limit != 1) {
		log_warning("flags D and O of pipe need %s_destination_recipient_limit = 1", me.info->service);
		outcome_set_dsn(o, "4.3.5", "mail system configuration error");
		return false;
	}
	if (a->size > 0 && content_size(&job->content) > a->size) {
		outcome_set_dsn(o, "5.2.3", "message size %llu exceeds size limit %llu of service %s",
				(unsigned long long)content_size(&job->content), (unsigned long long)a->size,
				me.info->service);
		return false;
	}
	if (a->flags & PIPE_DELIVERED_TO && content_was_delivered_to(&job->content, first->address)) {
		outcome_set_dsn(o, "5.4.6", "mail forwarding loop for %.*s", SLICE_FMT(first->address));
		return false;
	}
	return true;
}

static void put_head(struct str *head, const struct agent_job *job)
{
	static const struct { unsigned flag, head; } fields[] = {
		{ PIPE_FROM, HEAD_FROM }, { PIPE_RETURN_PATH, HEAD_RETURN_PATH },
		{ PIPE_ORIGINAL_TO, HEAD_ORIGINAL_TO }, { PIPE_DELIVERED_TO, HEAD_DELIVERED_TO },
	};
	const struct message_recipient *r = &job->job.envelope.recipients[0];
	struct slice sender = job->job.envelope.sender;
	unsigned which = 0;

	if (sender.len == 0)
		sender = slice_of(me.attributes.null_sender);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (me.attributes.flags & fields[i].flag)
			which |= fields[i].head;
	content_head(head, &(struct content_envelope){ sender, sender, r->original.len ? r->original : r->address,
						       r->address }, which);
}

static void run(struct agent_job *job, struct outcome *o)
{
	const struct pipe_attributes *a = &me.attributes;
	const struct pipe_message message = {
		.attributes = a, .job = &job->job, .size = content_size(&job->content),
		.recipient_delimiter = config_text(me.info->config, "recipient_delimiter") };
	struct str head = { 0 };
	struct err err;
	struct launch l = { .fd = job->job.fd, .eol = a->eol, .flags = a->content_flags,
			    .env = me.environment.variable, .name = a->argv[0], .success = me.success,
			    .time_limit = me.time_limit };

	l.directory = a->directory ? a->directory : a->chroot ? "/" : config_text(me.info->config, "queue_directory");
	l.argv = pipe_arguments(&message, job->arena, &err);
	if (!l.argv) {
		log_warning("service %s: %s", me.info->service, err.text);
		outcome_set_dsn(o, "4.3.5", "mail system configuration error");
		return;
	}
	put_head(&head, job);
	l.head = str_slice(&head);
	launcher_deliver(&l, o);
	str_free(&head);
}

static void deliver(struct agent_job *job)
{
	double started = loop_now();
	struct outcome o = { 0 };

	if (!may_deliver(job, &o))
		;
	else if (job->job.probe)
		outcome_set_dsn(&o, "2.0.0", "delivers to command: %s", me.attributes.argv[0]);
	else
		run(job, &o);
	for (size_t i = 0; i < job->job.envelope.recipient_count; i++)
		agent_conclude(job, i, &o, started);
}

static bool find_time_limit(const struct process_info *info, struct err *err)
{
	const char *name = arena_printf(me.arena, "%s_time_limit", info->service);
	const char *text = config_lookup(info->config, name);

	me.time_limit = config_time(info->config, "command_time_limit");
	return !text || param_parse_time(slice_of(text), 's', &me.time_limit) ||
	       err_set(err, ERR_SYNTAX, "parameter %s: \"%s\" is not a time", name, text);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	me.info = info;
	me.arena = arena_create(0);
	if (!pipe_attributes_parse(&me.attributes, info->argv, me.arena, err) || !find_time_limit(info, err))
		return err_prefix(err, "service %s of master.cf", info->service);
	me.success = arena_printf(me.arena, "delivered via %s service", info->service);
	me.recipient_limit = config_transport_int(info->config, info->service, "_destination_recipient_limit");
	environment_start(&me.environment, PROGRAM_PATH, config_text(info->config, "export_environment"), me.arena);
	me.rules = (struct launcher_rules){
		.programs = true, .user = me.attributes.user, .group = me.attributes.group, .chroot = me.attributes.chroot,
		.not_user = config_text(info->config, "mail_owner") };
	return launcher_start(&me.rules, err);
}

static void start(const struct process_info *info)
{
	static struct agent_ops ops = { .deliver = deliver };

	ops.relay = info->service;
	agent_start(&ops, info);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = agent_peer,
						.retire = agent_retire };

	return process_main(argc, argv, &ops);
}
