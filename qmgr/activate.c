/* SPDX-License-Identifier: ISC */
/* Bringing a message into memory: its envelope read, each recipient routed, jobs made. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/address.h"
#include "qmgr/limits.h"
#include "qmgr/qmgr.h"
#include "tables/table.h"

#define SWEEP_EVERY 60

static struct {
	const struct config *config;
	struct router *router;
	const char *defer_transports, *double_bounce;
	struct task_group routing;
	double next_sweep;
} me;

void activate_open(const struct config *config, struct router *router)
{
	me.config = config;
	me.router = router;
	me.defer_transports = config_text(config, "defer_transports");
	me.double_bounce = config_text(config, "double_bounce_sender");
}

/* --- jobs --- */

static struct job *open_job(struct message *m, struct destination *d, struct job *jobs, long limit)
{
	for (struct job *job = jobs; job; job = job->next)
		if (job->destination == d && (limit <= 0 || job->count < (uint32_t)limit))
			return job;
	return NULL;
}

static void add_recipient(struct message *m, struct job **jobs, struct destination *d, uint32_t index, long limit)
{
	struct job *job = open_job(m, d, *jobs, limit);

	if (!job) {
		size_t room = m->envelope.recipient_count;

		if (limit > 0 && room > (size_t)limit)
			room = (size_t)limit;
		job = arena_alloc(m->arena, sizeof(*job));
		job->message = m;
		job->from = m->from;
		job->queued = m->queued;
		job->destination = d;
		job->recipients = arena_alloc(m->arena, room * sizeof(uint32_t));
		job->is_answered = arena_alloc(m->arena, room * sizeof(bool));
		job->next = *jobs;
		*jobs = job;
		m->jobs++;
	}
	job->recipients[job->count++] = index;
}

/* "5.1.1 text": the status in front of the text, if there is one. */
static struct slice take_dsn(struct slice text, const char *fallback, struct slice *dsn)
{
	struct slice rest = text, word;

	*dsn = slice_of(fallback);
	if (slice_word(&rest, " ", &word) && word.len >= 5 && (word.ptr[0] == '4' || word.ptr[0] == '5') &&
	    word.ptr[1] == '.') {
		*dsn = word;
		return slice_trim(rest);
	}
	return text;
}

/* error, retry and discard need no process.  False: not one of them. */
static bool deliver_inside(struct message *m, uint32_t index, const struct route *route)
{
	struct delivery_result result = { .index = index, .relay = SLICE("none") };

	if (slice_eq(route->transport, SLICE("error"))) {
		result.outcome = DELIVERY_BOUNCED;
		result.text = take_dsn(route->nexthop, "5.0.0", &result.dsn);
	} else if (slice_eq(route->transport, SLICE("retry"))) {
		result.outcome = DELIVERY_DEFERRED;
		result.text = take_dsn(route->nexthop, "4.0.0", &result.dsn);
	} else if (slice_eq(route->transport, SLICE("discard"))) {
		result.outcome = DELIVERY_SENT;
		result.dsn = SLICE("2.0.0");
		result.text = route->nexthop;
	} else {
		return false;
	}
	message_answer(m, &result, true);
	return true;
}

/* Where a recipient goes, or why that is not known now. */
struct routed {
	struct route route;
	bool known;
};

/* FILTER and content_filter: "transport:next hop"; without a next hop it is the recipient's domain. */
static void route_to_filter(const struct message *m, const struct message_recipient *r, struct route *route)
{
	struct slice nexthop = m->envelope.filter, local, domain;

	*route = (struct route){ .address = r->address, .class_ = ROUTE_DEFAULT };
	slice_cut(&nexthop, ':', &route->transport);
	address_split(r->address, &local, &domain);
	route->nexthop = nexthop.len ? nexthop : domain;
}

static void route_recipient(struct message *m, uint32_t index, struct routed *routed)
{
	struct message_recipient *r = &m->envelope.recipients[index];
	struct err err;

	if (m->envelope.filter.len > 0) {
		route_to_filter(m, r, &routed->route);
		routed->known = true;
		return;
	}
	routed->known = router_resolve(me.router, r->address, m->envelope.sender, m->arena, &routed->route, &err);
	if (!routed->known)
		log_warning("%s: %s", m->id.ptr, err.text);
}

static bool is_deferred_transport(struct slice name)
{
	struct slice list = slice_of(me.defer_transports), word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq(word, name))
			return true;
	return false;
}

/* Recipients that no agent is asked for. */
static bool answer_here(struct message *m, uint32_t index, const struct route *route)
{
	const struct message_envelope *e = &m->envelope;
	struct delivery_result result = { .index = index, .outcome = DELIVERY_DEFERRED, .relay = SLICE("none") };
	ptrdiff_t at = slice_rfind(route->address, '@');

	if (route->class_ == ROUTE_LOCAL && at > 0 &&
	    slice_eq_nocase(slice_sub(route->address, 0, (size_t)at), slice_of(me.double_bounce))) {
		result.outcome = DELIVERY_SENT;
		result.dsn = SLICE("2.0.0");
		result.text = SLICE("undeliverable postmaster notification discarded");
	} else if (e->deliver_by > 0 && e->by_return && loop_now() >= e->deliver_by) {
		result.outcome = DELIVERY_BOUNCED;
		result.dsn = SLICE("5.4.7");
		result.text = SLICE("delivery time expired");
	} else if (!m->flushed && is_deferred_transport(route->transport)) {
		result.dsn = SLICE("4.3.2");
		result.text = SLICE("deferred transport");
	} else {
		return false;
	}
	message_answer(m, &result, true);
	return true;
}

static void add_routed(struct message *m, struct job **jobs, uint32_t index, const struct routed *routed)
{
	struct delivery_result failed = { index, DELIVERY_DEFERRED, SLICE("4.3.0"), SLICE("none"),
					  SLICE("address resolution failed: temporary lookup failure"), SLICE_NONE,
					  ACTION_DELIVERED };
	const struct route *route = &routed->route;

	if (!routed->known) {
		message_answer(m, &failed, true);
		return;
	}
	if (answer_here(m, index, route) || deliver_inside(m, index, route))
		return;
	struct schedule *s = agents_schedule();
	struct transport *t = schedule_transport(s, route->transport, limits_of);
	long limit = config_transport_int(me.config, t->name, "_destination_recipient_limit");
	/* A sender of its own for each. */
	long room = m->envelope.verp.len ? 1 : limit;
	/* With one recipient a delivery, the window counts for each recipient, not for the site. */
	struct slice nexthop = limit == 1 ? route->address : route->nexthop;
	struct destination *d = schedule_destination(s, t, nexthop);

	add_recipient(m, jobs, d, index, room);
}

static void start_jobs(struct message *m, struct job *jobs)
{
	m->jobs++; /* held until all are handed over */
	while (jobs) {
		struct job *job = jobs;
		struct destination *d = job->destination;

		jobs = job->next;
		/* Somebody says that it is back. */
		if (m->flushed)
			d->dead_until = 0;
		if (schedule_is_dead(d, loop_now())) {
			message_fail_job(job, DELIVERY_DEFERRED, "4.4.1",
					 d->dead_reason ? d->dead_reason : "destination unreachable");
			continue;
		}
		schedule_add(d, job);
		agents_dispatch(d->transport);
	}
	if (--m->jobs == 0)
		message_settle(m);
}

/* --- the file --- */

static bool read_file(struct message *m, struct slice id, struct err *err)
{
	if (!message_read_layout(m->fd, &m->layout, err))
		return false;
	/* The file has another message by now: ours has gone. */
	if (!slice_eq(slice_of(m->layout.id), id))
		return err_set(err, ERR_NOT_FOUND, "message has gone");
	return message_read_envelope(m->fd, &m->layout, m->arena, &m->envelope, err);
}

/* Opens and reads; NULL when there is nothing to deliver. */
static struct message *message_open(struct slice id)
{
	struct arena *arena = arena_create(1024);
	struct message *m = arena_alloc(arena, sizeof(*m));
	struct err err = { 0 };

	m->arena = arena;
	m->id = arena_slice(arena, id);
	m->name = message_id_name(m->id.ptr);
	m->fd = openat(queue_directory(), m->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (m->fd >= 0 && read_file(m, id, &err))
		return m;
	if (m->fd >= 0 && err.code == ERR_SYNTAX) {
		queue_move_to_corrupt(m->name, err.text);
	} else if (m->fd >= 0 ? err.code != ERR_NOT_FOUND : errno != ENOENT) {
		log_warning("%s: open queue file: %s", m->id.ptr, m->fd >= 0 ? err.text : strerror(errno));
		queue_wait(id, loop_now() + queue_settings()->backoff.minimal);
	}
	if (m->fd >= 0)
		close(m->fd);
	arena_free(&arena);
	return NULL;
}

static void count_recipients(struct message *m)
{
	for (size_t i = 0; i < m->envelope.recipient_count; i++) {
		m->pending += m->envelope.recipients[i].status == RECIPIENT_PENDING;
		m->failed += m->envelope.recipients[i].status == RECIPIENT_FAILED;
		m->to_tell += recipient_is_to_tell(m->envelope.recipients[i].status);
	}
}

/*
 * All recipients are routed, which may wait for proxymap, before the first job is made: a destination
 * without a job may go meanwhile.
 */
static void route_message(void *arg)
{
	struct message *m = arg;
	uint32_t count = m->envelope.recipient_count;
	struct routed *routed = mem_alloc((count + 1) * sizeof(*routed));
	struct job *jobs = NULL;

	for (uint32_t i = 0; i < count; i++)
		if (m->envelope.recipients[i].status == RECIPIENT_PENDING)
			route_recipient(m, i, &routed[i]);
	for (uint32_t i = 0; i < count; i++)
		if (m->envelope.recipients[i].status == RECIPIENT_PENDING)
			add_routed(m, &jobs, i, &routed[i]);
	free(routed);
	start_jobs(m, jobs);
}

/* Before a message's destinations are looked up: none of them has a job yet. */
static void sweep_destinations(void)
{
	if (loop_now() < me.next_sweep)
		return;
	me.next_sweep = loop_now() + SWEEP_EVERY;
	schedule_sweep(agents_schedule(), loop_now());
}

/* Who is to have a share and no more: a login, else a client, else a domain. */
static struct slice sender_of(const struct message_envelope *e)
{
	ptrdiff_t at = slice_rfind(e->sender, '@');

	if (e->sasl_login.len)
		return e->sasl_login;
	if (e->client_address.len)
		return e->client_address;
	return at >= 0 ? slice_sub(e->sender, (size_t)at + 1, e->sender.len) : e->sender;
}

void message_activate(struct slice id, bool flushed)
{
	struct message *m = message_open(id);
	double lifetime;

	sweep_destinations();
	if (!m)
		return;
	if (m->layout.state == MESSAGE_HOLD) {
		queue_put_on_hold(m->id);
		close(m->fd);
		arena_free(&(struct arena *){ m->arena });
		return;
	}
	m->queued = loop_now();
	m->from = sender_of(&m->envelope);
	m->flushed = flushed;
	queue_add_active(m);
	count_recipients(m);
	lifetime = m->envelope.sender.len ? queue_settings()->lifetime : queue_settings()->bounce_lifetime;
	m->expired = loop_now() - m->envelope.arrival > lifetime;
	log_info("%s: from=<%.*s>, size=%llu, nrcpt=%zu (queue active)", m->id.ptr,
		 SLICE_FMT(m->envelope.sender),
		 (unsigned long long)(m->layout.content.length + m->layout.header_length), m->pending);
	/* A slow server behind a table holds up the messages that ask it, no other. */
	if (!tables_may_wait() || !task_spawn(&me.routing, route_message, m))
		route_message(m);
}
