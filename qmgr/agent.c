/* SPDX-License-Identifier: ISC */
/*
 * Delivery agents: connections to the processes of a transport, and the jobs
 * in them.  What an agent says is believed only about the recipients of the
 * job that it was given.
 */
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/verp.h"
#include "common/process/process.h"
#include "qmgr/backoff.h"
#include "qmgr/qmgr.h"

#define CONNECT_TIMEOUT 30
#define CONNECT_PAUSE   1.0
#define SLOTS_MAX       100000

struct running {
	struct running *next;
	uint32_t id;
	struct job *job;
};

struct agent {
	struct agent *next;
	struct transport *transport;
	struct ipc_channel *channel;
	bool ready;               /* it has said how many slots it has */
	uint32_t slots, used;
	struct running *running;
};

struct agents {
	struct agent *first;
	struct transport *transport;
	bool connecting;
	double not_before;        /* after a failure or at the limit of processes */
	bool full;                /* master gives no more processes for now */
	ev_timer pause;           /* all that waits rests */
};

static struct {
	const struct config *config;
	struct schedule *schedule;
	struct task_group tasks;
	uint32_t last_job;
} hub;

void agents_open(const struct config *config, struct schedule *schedule)
{
	hub.config = config;
	hub.schedule = schedule;
}

struct schedule *agents_schedule(void)
{
	return hub.schedule;
}

/* --- the end of a job --- */

static struct running *take_running(struct agent *a, uint32_t id)
{
	for (struct running **at = &a->running; *at; at = &(*at)->next) {
		struct running *r = *at;

		if (r->id != id)
			continue;
		*at = r->next;
		return r;
	}
	return NULL;
}

/* What waits for a dead site does not wait longer: it is deferred with the same reason. */
static void hand_back_waiting(struct destination *d)
{
	struct job *job;

	while (schedule_is_dead(d, loop_now()) && (job = schedule_take_waiting(d)))
		message_fail_job(job, DELIVERY_DEFERRED, "4.4.1", d->dead_reason ? d->dead_reason : "site unreachable");
}

static void end_job(struct agent *a, struct running *r, bool unreachable)
{
	struct job *job = r->job;
	struct destination *d = job->destination;

	free(r);
	a->used--;
	process_busy(-1);
	schedule_done(job, unreachable ? SCHEDULE_UNREACHABLE : SCHEDULE_OK, loop_now());
	if (job->answered < job->count)
		message_fail_job(job, DELIVERY_DEFERRED, "4.3.0", "delivery agent gave no answer");
	else
		message_job_done(job);
	hand_back_waiting(d);
	agents_dispatch(a->transport);
	schedule_forget_if_idle(hub.schedule, d, loop_now());
}

/* --- what an agent says --- */

static struct running *find_running(struct agent *a, uint32_t id)
{
	for (struct running *r = a->running; r; r = r->next)
		if (r->id == id)
			return r;
	return NULL;
}

/* Why the site may be dead; and a site that has had enough of us gets a pause for all that goes there. */
static void heed_refusal(struct job *job, const struct delivery_result *result)
{
	struct destination *d = job->destination;
	double hint;

	free(d->dead_reason);
	d->dead_reason = mem_slicedup(result->text);
	if (result->outcome == DELIVERY_DEFERRED &&
	    backoff_reason_of(result->dsn, result->remote, &hint) == BACKOFF_RATE_LIMITED)
		schedule_rest(d, loop_now() + (hint > 0 ? hint : d->transport->limits.rest));
}

static bool take_result(struct agent *a, const struct ipc_in *m, struct err *err)
{
	struct running *r = find_running(a, m->request);
	struct delivery_result result;

	if (!delivery_get_result(m, &result, err))
		return false;
	for (uint32_t i = 0; r && i < r->job->count; i++) {
		struct job *job = r->job;

		if (job->recipients[i] != result.index || job->is_answered[i])
			continue;
		job->is_answered[i] = true;
		job->answered++;
		if (result.outcome != DELIVERY_SENT)
			heed_refusal(job, &result);
		message_answer(job->message, &result, false);
		return true;
	}
	return err_set(err, ERR_SYNTAX, "a result for a recipient that the agent was not given");
}

static bool take_done(struct agent *a, const struct ipc_in *m, struct err *err)
{
	bool kept, dead;
	struct running *r;

	if (!delivery_get_done(m, &kept, &dead, err))
		return false;
	r = take_running(a, m->request);
	if (!r)
		return err_set(err, ERR_SYNTAX, "the end of a job that the agent was not given");
	end_job(a, r, dead);
	return true;
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context);
static void on_close(struct ipc_channel *ch, void *context);
static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };

static void agent_lost(struct agent *a)
{
	struct agents *all = a->transport->agents;
	struct agent **at = &all->first;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	all->full = false;
	all->not_before = loop_now() + CONNECT_PAUSE;
	ipc_channel_free(&a->channel);
	while (a->running) {
		struct running *r = a->running;

		a->running = r->next;
		r->job->destination->dead_until = 0;
		end_job(a, r, false);
	}
	agents_dispatch(a->transport);
	free(a);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	agent_lost(context);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct agent *a = context;
	struct err err = { 0 };
	uint32_t slots;
	bool ok = false;

	switch (m->type) {
	case DELIVERY_READY:
		/* Once more: fewer, or none for an agent that is about to leave. */
		ok = delivery_get_ready(m, &slots, &err) && slots <= SLOTS_MAX;
		if (ok) {
			a->slots = slots;
			a->ready = true;
			agents_dispatch(a->transport);
		}
		break;
	case DELIVERY_RESULT:
		ok = take_result(a, m, &err);
		break;
	case DELIVERY_DONE:
		ok = take_done(a, m, &err);
		break;
	}
	if (ok)
		return;
	log_warning("transport %s: bad message %u from a delivery agent: %s", a->transport->name, m->type,
		    err.text);
	agent_lost(a);
}

/* --- connecting --- */

/* Nobody delivers: what waits is deferred, unless some agent is there still. */
static void transport_unavailable(struct transport *t, const char *reason)
{
	struct agents *all = t->agents;
	struct job *job;

	if (all->first)
		return;
	log_warning("transport %s: %s", t->name, reason);
	for (struct destination *d = t->first; d && t->waiting > 0; d = d->next)
		while ((job = schedule_take_waiting(d)))
			message_fail_job(job, DELIVERY_DEFERRED, "4.3.0", "mail transport unavailable");
}

static void connect_agent(void *arg)
{
	struct transport *t = arg;
	struct agents *all = t->agents;
	struct err err;
	int fd;

	if (all->not_before > loop_now())
		(void)task_sleep(all->not_before - loop_now());
	fd = process_connect(t->name, loop_now() + CONNECT_TIMEOUT, &err);
	all->connecting = false;
	if (fd < 0) {
		all->full = true;
		transport_unavailable(t, err.text);
		all->full = all->first != NULL;
		return;
	}
	struct agent *a = mem_alloc(sizeof(*a));

	a->transport = t;
	a->next = all->first;
	all->first = a;
	a->channel = ipc_channel_create(fd, &delivery_protocol, &handler, a);
}

static void want_agent(struct transport *t)
{
	struct agents *all = t->agents;

	if (all->connecting || all->full)
		return;
	for (struct agent *a = all->first; a; a = a->next)
		if (!a->ready)
			return; /* one is on its way */
	all->connecting = task_spawn(&hub.tasks, connect_agent, t) != NULL;
}

/* --- handing out --- */

static struct agent *free_agent(struct agents *all)
{
	struct agent *best = NULL;

	for (struct agent *a = all->first; a; a = a->next)
		if (a->used < a->slots && (!best || a->used < best->used))
			best = a;
	return best;
}

static bool send_job(struct agent *a, struct job *job)
{
	struct message *m = job->message;
	struct delivery_job out = { .id = ++hub.last_job ? hub.last_job : ++hub.last_job, .queue_id = m->id,
				    .nexthop = slice_of(job->destination->nexthop), .layout = m->layout,
				    .envelope = m->envelope, .index = job->recipients, .queued = m->queued };
	struct message_recipient *recipients = mem_alloc(job->count * sizeof(*recipients));
	struct ipc_out packet;
	struct str sender = { 0 };
	size_t next = 0;
	bool ok;

	for (uint32_t i = 0; i < job->count; i++)
		recipients[i] = m->envelope.recipients[job->recipients[i]];
	out.envelope.recipients = recipients;
	out.envelope.recipient_count = job->count;
	if (m->envelope.verp.len && job->count == 1) {
		verp_sender(&sender, m->envelope.verp, m->envelope.sender,
			    recipients[0].original.len ? recipients[0].original : recipients[0].address);
		out.envelope.sender = str_slice(&sender);
	}
	/* Opened again: an agent can read and not write. */
	out.fd = openat(queue_directory(), m->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ok = out.fd >= 0 && delivery_put_job(&packet, &out, &next) && next > 0 && ipc_send(a->channel, &packet);
	if (out.fd < 0)
		log_warning("%s: open for delivery: %m", m->id.ptr);
	else
		close(out.fd);
	free(recipients);
	str_free(&sender);
	if (!ok)
		return false;
	struct running *r = mem_alloc(sizeof(*r));

	r->id = out.id;
	r->job = job;
	r->next = a->running;
	a->running = r;
	a->used++;
	process_busy(1);
	return true;
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agents *all = timer->data;

	ev_timer_stop(loop, timer);
	agents_dispatch(all->transport);
}

/* Rate limits: nothing else would tell when it goes on. */
static void wake_later(struct transport *t)
{
	struct agents *all = t->agents;

	ev_timer_stop(loop_get(), &all->pause);
	if (t->wake >= SCHEDULE_NEVER)
		return;
	ev_timer_init(&all->pause, on_pause_over, t->wake > loop_now() ? t->wake - loop_now() : 0, 0);
	all->pause.data = all;
	ev_timer_start(loop_get(), &all->pause);
}

/* What all agents of a transport take at a time. */
static size_t capacity_of(const struct agents *all)
{
	size_t slots = 0;

	for (const struct agent *a = all->first; a; a = a->next)
		slots += a->slots;
	return slots;
}

void agents_dispatch(struct transport *t)
{
	struct agents *all = t->agents;

	if (!all) {
		all = mem_alloc(sizeof(*all));
		all->transport = t;
		t->agents = all;
	}
	t->capacity = capacity_of(all);
	/* A successor finds on disk what has not started. */
	while (t->waiting > 0 && !process_retiring()) {
		struct agent *a = free_agent(all);
		struct job *job;

		if (!a) {
			want_agent(t);
			return;
		}
		job = schedule_next(t, loop_now());
		if (!job) {
			wake_later(t);
			return;
		}
		if (!send_job(a, job)) {
			schedule_done(job, SCHEDULE_OK, loop_now());
			message_fail_job(job, DELIVERY_DEFERRED, "4.3.0", "cannot hand the message to a delivery agent");
		}
	}
}
