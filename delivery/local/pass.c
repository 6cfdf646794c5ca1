/* SPDX-License-Identifier: ISC */
/* To another delivery agent, which we speak to as qmgr does. */
#include <stdio.h>

#include "common/base/log.h"
#include "common/process/process.h"
#include "delivery/local/local.h"

#define CONNECT_TIMEOUT 30
#define READY_TIMEOUT   60

struct pass {
	struct ipc_channel *channel;
	struct task_event event;
	bool ready, done, lost;
	struct outcome outcome;
};

static void keep_result(struct outcome *o, const struct delivery_result *result)
{
	char dsn[sizeof(o->dsn)];

	snprintf(dsn, sizeof(dsn), "%.*s", SLICE_FMT(result->dsn));
	outcome_set(o, result->outcome, dsn, "%.*s", SLICE_FMT(result->text));
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct pass *p = context;
	struct delivery_result result;
	struct err err;
	uint32_t slots;
	bool kept, dead;

	if (m->type == DELIVERY_READY && delivery_get_ready(m, &slots, &err))
		p->ready |= slots > 0;
	else if (m->type == DELIVERY_RESULT && delivery_get_result(m, &result, &err))
		keep_result(&p->outcome, &result);
	else if (m->type == DELIVERY_DONE && delivery_get_done(m, &kept, &dead, &err))
		p->done = true;
	else
		p->lost = true;
	task_event_signal(&p->event);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct pass *p = context;

	p->lost = true;
	task_event_signal(&p->event);
}

/* False: it took too long, or the agent has gone. */
static bool await(struct pass *p, const bool *what, double deadline)
{
	while (!*what && !p->lost)
		if (task_event_wait(&p->event, deadline) != TASK_READY)
			return false;
	return *what;
}

static bool send_job(struct local_delivery *d, const struct local_scope *scope, struct slice nexthop, struct pass *p)
{
	static const uint32_t index[] = { 0 };
	struct message_recipient recipient = *d->recipient;
	struct delivery_job job = d->job->job;
	struct ipc_out packet;
	size_t next = 0;

	recipient.original = recipient.original.len ? recipient.original : recipient.address;
	recipient.address = scope->address;
	job.id = 1;
	job.nexthop = nexthop;
	job.index = index;
	job.envelope.sender = scope->sender;
	job.envelope.recipients = &recipient;
	job.envelope.recipient_count = 1;
	return delivery_put_job(&packet, &job, &next) && ipc_send(p->channel, &packet);
}

/* False: the agent has not said what became of it, and so has not logged it. */
static bool deliver_by(struct local_delivery *d, const struct local_scope *scope, const char *service,
		       struct slice nexthop, struct outcome *o)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct pass p = { .channel = NULL };
	struct err err;
	int fd = process_connect(service, loop_now() + CONNECT_TIMEOUT, &err);

	outcome_set_dsn(o, "4.3.0", "mail transport unavailable");
	if (fd < 0) {
		log_warning("transport %s: %s", service, err.text);
		return false;
	}
	p.channel = ipc_channel_create(fd, &delivery_protocol, &handler, &p);
	if (await(&p, &p.ready, loop_now() + READY_TIMEOUT) && send_job(d, scope, nexthop, &p)) {
		outcome_set_dsn(o, "4.3.0", "delivery agent gave no answer");
		/* Its own time limits end it; ours would deliver twice. */
		(void)await(&p, &p.done, TASK_FOREVER);
	}
	ipc_channel_free(&p.channel);
	if (p.outcome.outcome)
		*o = p.outcome;
	return p.outcome.outcome != 0;
}

void local_pass(struct local_delivery *d, const struct local_scope *scope, struct slice transport)
{
	struct slice nexthop = transport, name, dsn;
	struct outcome o = { 0 };

	slice_cut(&nexthop, ':', &name);
	if (slice_eq(name, SLICE("error")) || slice_eq(name, SLICE("retry"))) {
		bool bounce = slice_eq(name, SLICE("error"));
		struct slice text = route_split_text(nexthop, bounce ? "5.0.0" : "4.0.0", &dsn);

		outcome_set(&o, bounce ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, arena_cstr(d->arena, dsn), "%.*s", SLICE_FMT(text));
		local_conclude(d, scope, &o);
		return;
	}
	if (slice_eq(name, SLICE("discard"))) {
		outcome_set_dsn(&o, "2.0.0", "%.*s", SLICE_FMT(nexthop));
		local_conclude(d, scope, &o);
		return;
	}
	if (nexthop.len == 0)
		nexthop = slice_of(config_text(d->settings->config, "myhostname"));
	if (deliver_by(d, scope, arena_cstr(d->arena, name), nexthop, &o))
		local_merge(d, &o);
	else
		local_conclude(d, scope, &o);
}
