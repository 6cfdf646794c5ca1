/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/base/str.h"
#include "qmgr/schedule.h"

#define BUCKETS 4096

struct schedule {
	struct transport *transports;
	struct destination *buckets[BUCKETS];
};

struct schedule *schedule_create(void)
{
	return mem_alloc(sizeof(struct schedule));
}

static void destination_free(struct destination *d)
{
	free(d->nexthop);
	free(d->dead_reason);
	free(d);
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
		free(t->name);
		free(t);
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
	d->window = (double)t->limits.window_initial;
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

void schedule_add(struct destination *d, struct job *job)
{
	job->next = NULL;
	job->destination = d;
	if (d->last)
		d->last->next = job;
	else
		d->first = job;
	d->last = job;
	d->waiting++;
	d->transport->waiting++;
}

struct job *schedule_take_waiting(struct destination *d)
{
	struct job *job = d->first;

	if (!job)
		return NULL;
	d->first = job->next;
	if (!d->first)
		d->last = NULL;
	d->waiting--;
	d->transport->waiting--;
	return job;
}

struct job *schedule_next(struct transport *t)
{
	struct destination *d = t->first;

	for (size_t i = 0; t->waiting > 0 && i < t->destinations; i++, d = d->next) {
		if (!d->first || (d->running > 0 && (double)d->running >= d->window))
			continue;
		struct job *job = schedule_take_waiting(d);

		d->running++;
		t->first = d->next; /* the others' turn */
		return job;
	}
	return NULL;
}

void schedule_done(struct schedule *s, struct destination *d, enum schedule_end end, double now)
{
	long limit = d->transport->limits.window_limit;

	d->running--;
	if (end == SCHEDULE_OK) {
		if (limit <= 0 || d->window < (double)limit)
			d->window += 1;
		d->dead_until = 0;
		return;
	}
	d->window -= 1;
	if (d->window < 1) {
		d->window = (double)d->transport->limits.window_initial;
		d->dead_until = now + d->transport->limits.rest;
	}
}

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

	if (d->waiting || d->running || schedule_is_dead(d, now))
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
