/* SPDX-License-Identifier: ISC */
/*
 * What goes out next.  Pure logic: no process, no clock of its own.
 *
 * A transport's destinations (next hops) take turns.  A destination has a window of deliveries side by side
 * (feedback.h), and the messages that wait for it, each with its jobs, in the order of their coming: but a big
 * one earns a slot with each `slot_cost` of its jobs that start, and for its slots smaller ones go before it
 * (Postfix's SCHEDULER_README, applied at each destination).  A destination may have pauses between
 * deliveries, and a number of messages in a period.  No sender has more than its share of a transport while others wait.
 */
#ifndef POSTRIDER_QMGR_SCHEDULE_H
#define POSTRIDER_QMGR_SCHEDULE_H

#include "common/base/slice.h"
#include "qmgr/feedback.h"

#define SCHEDULE_NEVER 1e18
#define SENDER_BUCKETS 256

struct destination;
struct sender;
struct lot;

/* Recipients of one message that go to one destination in one delivery. */
struct job {
	struct job *next;
	struct destination *destination;
	struct sender *sender;     /* the scheduler's */
	void *message;             /* the owner's: jobs of one message come one after the other */
	double queued;             /* when the message became active */
	struct slice from;         /* whose share of the transport it takes: a login, a client, a domain */
	uint32_t *recipients;      /* indices in the message */
	uint32_t count;
	uint32_t answered;         /* the owner's count */
	bool *is_answered;         /* a flag a recipient */
};

struct destination_limits {
	struct window_limits window;
	double rest;                   /* seconds that a dead destination rests */
	long slot_cost, slot_loan, slot_discount, minimum_slots;
	double rate_delay;             /* pause after a delivery; one at a time then */
	double transport_rate_delay;   /* between the starts of a transport's deliveries */
	long sender_share;             /* per cent of the transport's capacity; 0: all */
	/* Messages that a destination takes in `*period` seconds; 0: any number.  NULL: the same. */
	long (*rate)(const char *transport, struct slice nexthop, double *period);
};

struct transport {
	struct transport *next;
	char *name;
	struct destination *first;          /* circle of all */
	struct destination *ready;          /* circle of those that a job may start for, in turn */
	struct destination *resting;        /* have jobs, and a pause */
	size_t destinations;
	size_t waiting;                     /* jobs */
	size_t capacity;                    /* deliveries at a time: the owner's agents */
	struct sender *senders[SENDER_BUCKETS];
	size_t senders_waiting;             /* that have jobs waiting */
	double not_before;
	double wake;                        /* schedule_next has nothing before this time, without other news */
	struct destination_limits limits;
	void *agents;                       /* the owner's */
};

struct destination {
	struct destination *prev, *next;    /* in the circle of its transport */
	struct destination *ready_prev, *ready_next;
	struct destination *hash_next;
	struct transport *transport;
	char *nexthop;
	struct lot *first, *last;           /* messages */
	size_t waiting, running;            /* jobs */
	struct window window;
	enum destination_place { PLACE_IDLE, PLACE_READY, PLACE_RESTING } place;
	double not_before;
	long rate;                          /* messages in a period; 0: any number */
	double period, period_start;
	long period_count;
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
/* The next job that may start now: running counts up.  NULL: none; t->wake tells when to ask again. */
struct job *schedule_next(struct transport *t, double now);
/* The end of a started job. */
enum schedule_end { SCHEDULE_OK, SCHEDULE_UNREACHABLE };
void schedule_done(struct job *job, enum schedule_end end, double now);
bool schedule_is_dead(const struct destination *d, double now);
/* The site asks for a pause: nothing starts before `until`. */
void schedule_rest(struct destination *d, double until);
/* No destination is dead any more. */
void schedule_revive(struct schedule *s);
/* Takes off whatever waits (a dead destination's jobs): the next or NULL. */
struct job *schedule_take_waiting(struct destination *d);
/* Forgets an idle destination: nothing waits, nothing runs, not dead, and it owes no pause. */
void schedule_forget_if_idle(struct schedule *s, struct destination *d, double now);
/* Forgets all idle ones: those that were dead at their last job, or never had one that started. */
void schedule_sweep(struct schedule *s, double now);

#endif
