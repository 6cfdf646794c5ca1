/* SPDX-License-Identifier: ISC */
/* To another delivery agent. */
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "delivery/lib/handoff.h"
#include "delivery/local/local.h"

static bool deliver_by(struct local_delivery *d, const struct local_scope *scope, const char *service,
		       struct slice nexthop, struct outcome *o)
{
	static const uint32_t index[] = { 0 };
	struct message_recipient recipient = *d->recipient;
	struct delivery_job job = d->job->job;

	recipient.original = recipient.original.len ? recipient.original : recipient.address;
	recipient.address = scope->address;
	job.nexthop = nexthop;
	job.index = index;
	job.envelope.sender = scope->sender;
	job.envelope.recipients = &recipient;
	job.envelope.recipient_count = 1;
	return handoff(service, &job, o);
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
