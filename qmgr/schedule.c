/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/base/str.h"
#include "qmgr/schedule.h"

#define BUCKETS      4096
#define LOTS_SEEN    100  /* messages of a destination that are looked at */
#define READY_SEEN   1000 /* destinations */

struct schedule {
	struct transport *transports;
	struct destination *buckets[BUCKETS];
};

/* A message's jobs at a destination. */
struct lot {
	struct lot *prev, *next;
	struct job *first, *last;
	void *message;
	struct sender *sender;
	double queued;
	long waiting, total, started;
	long slots_used;          /* by those that went before it */
};

/* Whoever has jobs at a transport. */
struct sender {
	struct sender *next;
	char *key;
	size_t waiting, running;
};

struct schedule *schedule_create(void)
{
	return mem_alloc(sizeof(struct schedule));
}

/* --- transports and destinations --- */

static void destination_free(struct destination *d)
{
	while (d->first) {
		struct lot *lot = d->first;

		d->first = lot->next;
		free(lot);
	}
	free(d->nexthop);
	free(d->dead_reason);
	free(d);
}

static void transport_free(struct transport *t)
{
	for (size_t i = 0; i < SENDER_BUCKETS; i++) {
		while (t->senders[i]) {
			struct sender *sender = t->senders[i];

			t->senders[i] = sender->next;
			free(sender->key);
			free(sender);
		}
	}
	free(t->name);
	free(t);
}

void schedule_free(struct schedule **sp)
{
	struct schedule *s = *sp;

	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (s->buckets[i]) {
			struct destination *d = s->buckets[i];

			s->buckets[i] = d->hash_next;
			destination_free(d);
		}
	}
	while (s->transports) {
		struct transport *t = s->transports;

		s->transports = t->next;
		transport_free(t);
	}
	free(s);
	*sp = NULL;
}

struct transport *schedule_transport(struct schedule *s, struct slice name,
				     struct destination_limits (*limits)(const char *name))
{
	struct transport *t = s->transports;

	while (t && !slice_eq(slice_of(t->name), name))
		t = t->next;
	if (t)
		return t;
	t = mem_alloc(sizeof(*t));
	t->name = mem_slicedup(name);
	t->limits = limits(t->name);
	t->wake = SCHEDULE_NEVER;
	t->next = s->transports;
	s->transports = t;
	return t;
}

struct transport *schedule_transports(struct schedule *s)
{
	return s->transports;
}

static struct destination **bucket_of(struct schedule *s, const struct transport *t, struct slice nexthop)
{
	return &s->buckets[(slice_hash_nocase(nexthop) ^ (uintptr_t)t >> 4) % BUCKETS];
}

struct destination *schedule_destination(struct schedule *s, struct transport *t, struct slice nexthop)
{
	struct destination **bucket = bucket_of(s, t, nexthop), *d = *bucket;

	while (d && !(d->transport == t && slice_eq_nocase(slice_of(d->nexthop), nexthop)))
		d = d->hash_next;
	if (d)
		return d;
	d = mem_alloc(sizeof(*d));
	d->transport = t;
	d->nexthop = mem_slicedup(nexthop);
	window_start(&d->window, &t->limits.window);
	if (t->limits.rate)
		d->rate = t->limits.rate(t->name, nexthop, &d->period);
	d->hash_next = *bucket;
	*bucket = d;
	if (t->first) {
		d->next = t->first;
		d->prev = t->first->prev;
		d->prev->next = d;
		d->next->prev = d;
	} else {
		t->first = d->next = d->prev = d;
	}
	t->destinations++;
	return d;
}

/* --- where a destination stands --- */

static void leave_place(struct destination *d)
{
	struct transport *t = d->transport;

	if (d->place == PLACE_READY) {
		if (d->ready_next == d) {
			t->ready = NULL;
		} else {
			d->ready_prev->ready_next = d->ready_next;
			d->ready_next->ready_prev = d->ready_prev;
			if (t->ready == d)
				t->ready = d->ready_next;
		}
	} else if (d->place == PLACE_RESTING) {
		if (d->ready_prev)
			d->ready_prev->ready_next = d->ready_next;
		else
			t->resting = d->ready_next;
		if (d->ready_next)
			d->ready_next->ready_prev = d->ready_prev;
	}
	d->place = PLACE_IDLE;
}

static void enter_place(struct destination *d, enum destination_place place)
{
	struct transport *t = d->transport;

	d->place = place;
	if (place == PLACE_RESTING) {
		d->ready_prev = NULL;
		d->ready_next = t->resting;
		if (t->resting)
			t->resting->ready_prev = d;
		t->resting = d;
	} else if (place == PLACE_READY && t->ready) {
		/* Behind all others. */
		d->ready_next = t->ready;
		d->ready_prev = t->ready->ready_prev;
		d->ready_prev->ready_next = d;
		d->ready_next->ready_prev = d;
	} else if (place == PLACE_READY) {
		t->ready = d->ready_next = d->ready_prev = d;
	}
}

static bool has_window(const struct destination *d)
{
	if (d->transport->limits.rate_delay > 0)
		return d->running == 0;
	return d->running == 0 || (double)d->running + 1 <= d->window.size;
}

/* After any change to it. */
static void find_place(struct destination *d)
{
	enum destination_place place = d->waiting == 0 || !has_window(d) ? PLACE_IDLE :
				       d->not_before > 0 ? PLACE_RESTING : PLACE_READY;

	if (place == d->place)
		return;
	leave_place(d);
	enter_place(d, place);
}

void schedule_rest(struct destination *d, double until)
{
	if (until > d->not_before)
		d->not_before = until;
	find_place(d);
}

/* Pauses that are over; when the next one is. */
static void end_pauses(struct transport *t, double now)
{
	struct destination *d, *next;

	t->wake = SCHEDULE_NEVER;
	for (d = t->resting; d; d = next) {
		next = d->ready_next;
		if (d->not_before <= now) {
			d->not_before = 0;
			find_place(d);
		} else if (d->not_before < t->wake) {
			t->wake = d->not_before;
		}
	}
}

/* --- senders --- */

static struct sender **sender_bucket(struct transport *t, struct slice key)
{
	return &t->senders[slice_hash_nocase(key) % SENDER_BUCKETS];
}

static struct sender *find_sender(struct transport *t, struct slice key)
{
	struct sender **bucket = sender_bucket(t, key), *sender = *bucket;

	while (sender && !slice_eq_nocase(slice_of(sender->key), key))
		sender = sender->next;
	if (sender)
		return sender;
	sender = mem_alloc(sizeof(*sender));
	sender->key = mem_slicedup(key);
	sender->next = *bucket;
	*bucket = sender;
	return sender;
}

static void sender_waiting(struct transport *t, struct sender *sender, int change)
{
	t->senders_waiting -= sender->waiting > 0;
	sender->waiting += (size_t)change;
	t->senders_waiting += sender->waiting > 0;
}

static void forget_sender(struct transport *t, struct sender *sender)
{
	struct sender **at = sender_bucket(t, slice_of(sender->key));

	if (sender->waiting || sender->running)
		return;
	while (*at != sender)
		at = &(*at)->next;
	*at = sender->next;
	free(sender->key);
	free(sender);
}

/* Others wait, and it has its share. */
static bool has_share(const struct transport *t, const struct sender *sender)
{
	size_t share = t->capacity * (size_t)t->limits.sender_share / 100;

	if (t->limits.sender_share <= 0 || t->capacity == 0 || t->senders_waiting < 2)
		return false;
	return sender->running >= (share > 0 ? share : 1);
}

/* --- lots --- */

static void lot_unlink(struct destination *d, struct lot *lot)
{
	if (lot->prev)
		lot->prev->next = lot->next;
	else
		d->first = lot->next;
	if (lot->next)
		lot->next->prev = lot->prev;
	else
		d->last = lot->prev;
}

static void lot_put_before(struct destination *d, struct lot *lot, struct lot *other)
{
	lot->next = other;
	lot->prev = other->prev;
	if (other->prev)
		other->prev->next = lot;
	else
		d->first = lot;
	other->prev = lot;
}

static struct lot *lot_append(struct destination *d, const struct job *job)
{
	struct lot *lot = mem_alloc(sizeof(*lot));

	lot->message = job->message;
	lot->queued = job->queued;
	lot->sender = find_sender(d->transport, job->from);
	lot->prev = d->last;
	if (d->last)
		d->last->next = lot;
	else
		d->first = lot;
	d->last = lot;
	return lot;
}

void schedule_add(struct destination *d, struct job *job)
{
	struct lot *lot = d->last && d->last->message == job->message ? d->last : lot_append(d, job);

	job->next = NULL;
	job->destination = d;
	job->sender = lot->sender;
	if (lot->last)
		lot->last->next = job;
	else
		lot->first = job;
	lot->last = job;
	lot->waiting++;
	lot->total++;
	sender_waiting(d->transport, lot->sender, 1);
	d->waiting++;
	d->transport->waiting++;
	find_place(d);
}

static struct job *take_from(struct destination *d, struct lot *lot)
{
	struct job *job = lot->first;

	lot->first = job->next;
	lot->waiting--;
	lot->started++;
	sender_waiting(d->transport, lot->sender, -1);
	d->waiting--;
	d->transport->waiting--;
	if (!lot->first) {
		lot_unlink(d, lot);
		free(lot);
	}
	return job;
}

struct job *schedule_take_waiting(struct destination *d)
{
	struct job *job = d->first ? take_from(d, d->first) : NULL;

	find_place(d);
	if (job)
		forget_sender(d->transport, job->sender);
	return job;
}

/* --- whose turn it is --- */

/* How urgent a message is: the longer it waits for the less. */
static double score(const struct lot *lot, double now)
{
	return (now - lot->queued + 1) / (double)lot->waiting;
}

/* One that has not begun, and that the slots of `big` pay for. */
static bool may_go_before(const struct destination_limits *l, const struct lot *small, const struct lot *big)
{
	double needed = (double)small->waiting * (double)(100 - l->slot_discount) / 100 - (double)l->slot_loan;

	return small->started == 0 && small->waiting < big->waiting &&
	       needed <= (double)(big->started / l->slot_cost - big->slots_used);
}

/* Lets a smaller message go before the first one. */
static void preempt(struct destination *d, double now)
{
	const struct destination_limits *l = &d->transport->limits;
	struct lot *big = d->first, *best = NULL;
	int seen = 0;

	if (l->slot_cost < 2 || !big->next || big->total / l->slot_cost < l->minimum_slots)
		return;
	for (struct lot *lot = big->next; lot && seen < LOTS_SEEN; lot = lot->next, seen++)
		if ((!best || score(lot, now) > score(best, now)) && may_go_before(l, lot, big))
			best = lot;
	if (!best)
		return;
	big->slots_used += best->waiting;
	lot_unlink(d, best);
	lot_put_before(d, best, big);
}

/* The first whose sender may; NULL: none. */
static struct lot *pick_lot(struct destination *d, double now)
{
	int seen = 0;

	preempt(d, now);
	for (struct lot *lot = d->first; lot && seen < LOTS_SEEN; lot = lot->next, seen++)
		if (!has_share(d->transport, lot->sender))
			return lot;
	return NULL;
}

/* What a start owes: a period's count, and the transport's pause. */
static void note_start(struct destination *d, double now)
{
	struct transport *t = d->transport;

	if (t->limits.transport_rate_delay > 0)
		t->not_before = now + t->limits.transport_rate_delay;
	if (d->rate <= 0)
		return;
	if (now >= d->period_start + d->period || now < d->period_start) {
		d->period_start = now;
		d->period_count = 0;
	}
	if (++d->period_count >= d->rate)
		schedule_rest(d, d->period_start + d->period);
}

struct job *schedule_next(struct transport *t, double now)
{
	end_pauses(t, now);
	if (t->waiting > 0 && t->not_before > now) {
		if (t->not_before < t->wake)
			t->wake = t->not_before;
		return NULL;
	}
	struct destination *last = t->ready ? t->ready->ready_prev : NULL;

	for (int seen = 0; t->ready && seen < READY_SEEN; seen++) {
		struct destination *d = t->ready;
		struct lot *lot = pick_lot(d, now);

		t->ready = d->ready_next; /* the others' turn */
		if (lot) {
			struct job *job = take_from(d, lot);

			job->sender->running++;
			d->running++;
			note_start(d, now);
			find_place(d);
			return job;
		}
		if (d == last)
			break;
	}
	return NULL;
}

void schedule_done(struct job *job, enum schedule_end end, double now)
{
	struct destination *d = job->destination;
	const struct destination_limits *l = &d->transport->limits;

	if (end == SCHEDULE_OK) {
		window_success(&d->window, &l->window, d->running);
		d->dead_until = 0;
	} else if (window_failure(&d->window, &l->window)) {
		d->dead_until = now + l->rest;
	}
	d->running--;
	job->sender->running--;
	forget_sender(d->transport, job->sender);
	job->sender = NULL;
	if (l->rate_delay > 0)
		schedule_rest(d, now + l->rate_delay);
	find_place(d);
}

/* --- dead ones, and idle ones --- */

bool schedule_is_dead(const struct destination *d, double now)
{
	return d->dead_until > now;
}

void schedule_revive(struct schedule *s)
{
	for (struct transport *t = s->transports; t; t = t->next) {
		struct destination *d = t->first;

		for (size_t i = 0; i < t->destinations; i++, d = d->next)
			d->dead_until = 0;
	}
}

void schedule_forget_if_idle(struct schedule *s, struct destination *d, double now)
{
	struct destination **at;
	bool owes = d->not_before > now || (d->rate > 0 && d->period_start + d->period > now);

	if (d->waiting || d->running || schedule_is_dead(d, now) || owes)
		return;
	at = bucket_of(s, d->transport, slice_of(d->nexthop));
	while (*at != d)
		at = &(*at)->hash_next;
	*at = d->hash_next;
	if (d->next == d) {
		d->transport->first = NULL;
	} else {
		d->prev->next = d->next;
		d->next->prev = d->prev;
		if (d->transport->first == d)
			d->transport->first = d->next;
	}
	d->transport->destinations--;
	destination_free(d);
}

void schedule_sweep(struct schedule *s, double now)
{
	for (struct transport *t = s->transports; t; t = t->next) {
		struct destination *d = t->first;

		for (size_t left = t->destinations; left > 0; left--) {
			struct destination *next = d->next;

			schedule_forget_if_idle(s, d, now);
			d = next;
		}
	}
}
