/* SPDX-License-Identifier: ISC */
/* The smtp and lmtp delivery agents: jobs from the queue manager, a task each. */
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/delivery_log.h"
#include "common/process/process.h"
#include "common/proto/delivery_proto.h"
#include "common/proto/resolver_proto.h"
#include "delivery/smtp/deliver.h"
#include "delivery/smtp/generic.h"
#include "delivery/smtp/login.h"
#include "delivery/smtp/security.h"

#define TABLE_CHECK  1.0   /* seconds between looks at the tables */
#define RETIRE_DELAY 1.0   /* jobs that qmgr sent before it heard that we retire */

/* A connection of qmgr's.  Stays until its jobs have ended, also when the channel has gone. */
struct agent {
	struct agent *next;
	struct ipc_channel *channel;   /* NULL: lost */
	struct task_group jobs;
	struct ev_timer leave;
	bool holds;                    /* keeps the process from exiting until the timer has run */
	bool probes;              /* verify: whatever it says, nothing is sent for it */
};

struct running {
	struct agent *agent;
	struct arena *arena;
	struct delivery_job job;
	struct smtp_delivery delivery;
};

static struct {
	struct smtp_settings settings;
	struct smtp_security security;
	struct smtp_login login;
	struct smtp_generic generic;
	struct smtp_cache *cache;
	struct ipc_client *resolver;
	struct agent *agents;
	struct task_group background;
	bool soft_bounce;
} me;

static void agent_close(struct agent *agent)
{
	if (agent->channel)
		ipc_channel_free(&agent->channel);
}

/* Frees it when nothing is left of it. */
static void agent_release(struct agent *agent)
{
	struct agent **at = &me.agents;

	if (agent->channel || agent->jobs.count > 0)
		return;
	while (*at && *at != agent)
		at = &(*at)->next;
	if (*at)
		*at = agent->next;
	ev_timer_stop(loop_get(), &agent->leave);
	if (agent->holds)
		process_busy(-1);
	free(agent);
}

static void on_jobs_ended(void *context)
{
	struct agent *agent = context;

	if (process_retiring() && !ev_is_active(&agent->leave))
		agent_close(agent);
	agent_release(agent);
}

static void on_leave(struct ev_loop *loop, struct ev_timer *w, int events)
{
	struct agent *agent = w->data;

	if (agent->jobs.count == 0) {
		agent_close(agent);
		agent_release(agent);
	}
}

/* --- results --- */

static void log_result(const struct running *r, size_t index)
{
	static const enum delivery_word status[] = { [DELIVERY_SENT] = DELIVERY_WORD_SENT,
						     [DELIVERY_DEFERRED] = DELIVERY_WORD_DEFERRED,
						     [DELIVERY_BOUNCED] = DELIVERY_WORD_BOUNCED };
	const struct smtp_delivery *d = &r->delivery;
	const struct smtp_recipient *to = &d->recipient[index];
	struct delivery_log entry = {
		.queue_id = r->job.queue_id, .recipient = to->recipient->address,
		.original = to->recipient->original, .relay = to->failure.relay,
		.arrival = r->job.envelope.arrival, .queued = r->job.queued,
		.setup = d->started, .transmission = d->connected, .end = loop_now(),
		.dsn = slice_of(to->failure.dsn), .status = delivery_log_word(status[to->outcome], r->job.probe), .reason = to->failure.text,
	};

	delivery_log(&entry);
}

static void on_decided(struct smtp_delivery *d, size_t index)
{
	struct running *r = d->context;
	struct smtp_recipient *to = &d->recipient[index];

	/* soft_bounce: nothing is returned, it is tried again. */
	if (me.soft_bounce && to->outcome == DELIVERY_BOUNCED) {
		to->outcome = DELIVERY_DEFERRED;
		to->failure.dsn[0] = '4';
	}
	struct delivery_result result = {
		.index = r->job.index[index], .outcome = to->outcome, .dsn = slice_of(to->failure.dsn),
		.relay = to->failure.relay.len > 0 ? to->failure.relay : SLICE("none"),
		.text = to->failure.text, .remote = to->failure.remote, .action = to->action,
	};
	struct ipc_out m;

	log_result(r, index);
	if (!r->agent->channel)
		return;
	if (!delivery_put_result(&m, r->job.id, &result) || !ipc_send(r->agent->channel, &m))
		log_warning("%.*s: result could not be reported", SLICE_FMT(r->job.queue_id));
}

/* --- jobs --- */

static void end_job(struct running *r, struct smtp_outcome outcome)
{
	struct ipc_out m;

	if (r->agent->channel && delivery_put_done(&m, r->job.id, outcome.kept, outcome.dead))
		(void)ipc_send(r->agent->channel, &m);
	if (r->job.fd >= 0)
		close(r->job.fd);
	arena_free(&r->arena);
	free(r);
	process_busy(-1);
}

static void run_job(void *arg)
{
	struct running *r = arg;

	end_job(r, smtp_deliver(&r->delivery, me.cache, me.resolver));
}

/* No stack for a task: the recipients wait. */
static void refuse_job(struct running *r)
{
	struct smtp_delivery *d = &r->delivery;
	struct smtp_failure failure;

	d->count = d->undecided = r->job.envelope.recipient_count;
	d->recipient = arena_alloc(r->arena, (d->count + 1) * sizeof(*d->recipient));
	for (size_t i = 0; i < d->count; i++)
		d->recipient[i].recipient = &r->job.envelope.recipients[i];
	smtp_fail(&failure, r->arena, "4.3.2", "delivery agent is out of memory");
	smtp_decide_all(d, DELIVERY_DEFERRED, &failure);
	end_job(r, (struct smtp_outcome){ 0 });
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct agent *agent = context;
	struct running *r = mem_alloc(sizeof(*r));
	struct err err = { 0 };

	r->agent = agent;
	r->arena = arena_create(4096);
	r->job.fd = -1;
	if (m->type != DELIVERY_JOB || !delivery_get_job(m, r->arena, &r->job, &err)) {
		log_warning("queue manager sent something else than a job: %s", err.text);
		arena_free(&r->arena);
		free(r);
		return;
	}
	r->delivery = (struct smtp_delivery){ .job = &r->job, .settings = &me.settings, .arena = r->arena,
					      .on_decided = on_decided, .context = r };
	r->job.probe |= agent->probes;
	process_busy(1);
	if (!task_spawn(&agent->jobs, run_job, r))
		refuse_job(r);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct agent *agent = context;

	/* Nobody would hear of the results: what is not sent yet is sent by the next process. */
	agent_close(agent);
	task_group_cancel(&agent->jobs);
	agent_release(agent);
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct agent *agent = mem_alloc(sizeof(*agent));
	struct ipc_out m;

	agent->probes = strcmp(role, "verify") == 0;
	agent->jobs.on_empty = on_jobs_ended;
	agent->jobs.context = agent;
	ev_timer_init(&agent->leave, on_leave, RETIRE_DELAY, 0.0);
	agent->leave.data = agent;
	agent->next = me.agents;
	me.agents = agent;
	agent->channel = ipc_channel_create(fd, &delivery_protocol, &handler, agent);
	if (delivery_put_ready(&m, (uint32_t)me.settings.slots))
		(void)ipc_send(agent->channel, &m);
}

static void retire(void)
{
	for (struct agent *agent = me.agents; agent; agent = agent->next) {
		agent->holds = true;
		process_busy(1);
		ev_timer_start(loop_get(), &agent->leave);
	}
}

static bool open_settings(const struct process_info *info, struct err *err)
{
	bool log_in, generic;
	unsigned seed;

	/* for the order of equal mail exchangers */
	if (getentropy(&seed, sizeof(seed)) == 0)
		srandom(seed);
	if (!smtp_settings_load(&me.settings, info->config, strcmp(info->command, "lmtp") == 0, err) ||
	    !smtp_security_load(&me.security, info->config, me.settings.lmtp, err) ||
	    !smtp_login_load(&me.login, info->config, me.settings.lmtp, &log_in, err) ||
	    !smtp_generic_load(&me.generic, info->config, me.settings.lmtp, &generic, err))
		return false;
	me.settings.security = &me.security;
	me.soft_bounce = config_bool(info->config, "soft_bounce");
	me.settings.login = log_in ? &me.login : NULL;
	me.settings.generic = generic ? &me.generic : NULL;
	return true;
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY && !process_retiring())
		if (table_list_changed(me.security.policies) || (me.settings.login && smtp_login_changed(&me.login)) ||
		    (me.settings.generic && smtp_generic_changed(&me.generic)))
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	me.cache = smtp_cache_create(&me.settings);
	me.resolver = ipc_client_create("resolver", &resolver_protocol, process_connect);
	tables_use_proxy(process_connect);
	smtp_security_start(&me.security, process_connect);
	task_spawn(&me.background, watch_tables, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_settings, .start = start, .peer = peer, .retire = retire };

	return process_main(argc, argv, &ops);
}
