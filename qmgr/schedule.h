/* SPDX-License-Identifier: ISC */
/*
 * What goes out next: by transport, then destination (next hop), then
 * message, round robin.  Pure logic: no process, no clock of its own.
 *
 * A destination has a window of deliveries side by side: it starts at `initial`, opens by one
 * with each success and closes by one with each failure to reach the site; at none the
 * destination is dead for a while, and what waits for it is handed back.
 */
#ifndef POSTRIDER_QMGR_SCHEDULE_H
#define POSTRIDER_QMGR_SCHEDULE_H

#include "common/base/slice.h"

struct destination;

/* Recipients of one message that go to one destination in one delivery. */
struct job {
	struct job *next;
	struct destination *destination;
	void *message;             /* the owner's */
	uint32_t *recipients;      /* indices in the message */
	uint32_t count;
	uint32_t answered;         /* the owner's count */
	bool *is_answered;         /* a flag a recipient */
};

struct destination_limits {
	long window_initial, window_limit;  /* limit 0: none */
	double rest;                        /* seconds that a dead destination rests */
};

struct transport {
	struct transport *next;
	char *name;
	struct destination *first;          /* circular, in turn */
	size_t destinations;
	size_t waiting;                     /* jobs */
	struct destination_limits limits;
	void *agents;                       /* the owner's */
};

struct destination {
	struct destination *prev, *next;    /* in the circle of its transport */
	struct destination *hash_next;
	struct transport *transport;
	char *nexthop;
	struct job *first, *last;
	size_t waiting, running;
	double window;
	double dead_until;
	char *dead_reason;                  /* why, for what is handed back */
};

struct schedule;
struct schedule *schedule_create(void);
void schedule_free(struct schedule **s);
/* Finds or makes; `limits` is asked only for a new transport. */
struct transport *schedule_transport(struct schedule *s, struct slice name,
				     struct destination_limits (*limits)(const char *name));
struct transport *schedule_transports(struct schedule *s);   /* list */
struct destination *schedule_destination(struct schedule *s, struct transport *t, struct slice nexthop);
/* Puts a job last. */
void schedule_add(struct destination *d, struct job *job);
/* The next job that may start now: running counts up.  NULL: none. */
struct job *schedule_next(struct transport *t);
/* The end of a started job. */
enum schedule_end { SCHEDULE_OK, SCHEDULE_UNREACHABLE };
void schedule_done(struct schedule *s, struct destination *d, enum schedule_end end, double now);
bool schedule_is_dead(const struct destination *d, double now);
/* No destination is dead any more. */
void schedule_revive(struct schedule *s);
/* Takes off whatever waits (a dead destination's jobs): the next or NULL. */
struct job *schedule_take_waiting(struct destination *d);
/* Forgets an idle destination: nothing waits, nothing runs, not dead. */
void schedule_forget_if_idle(struct schedule *s, struct destination *d, double now);
/* Forgets all idle ones: those that were dead at their last job, or never had one that started. */
void schedule_sweep(struct schedule *s, double now);

#endif
