/* SPDX-License-Identifier: ISC */
/* What the files of the queue manager share: messages under way, and the calls between the parts. */
#ifndef POSTRIDER_QMGR_QMGR_H
#define POSTRIDER_QMGR_QMGR_H

#include "common/config/config.h"
#include "common/mail/message_file.h"
#include "common/net/ipc.h"
#include "common/proto/delivery_proto.h"
#include "common/proto/qmgr_proto.h"
#include "qmgr/backoff.h"
#include "qmgr/deferred.h"
#include "qmgr/schedule.h"
#include "routing/route.h"

/* A message in full: from activation until it is removed or deferred again. */
struct message {
	struct message *prev, *next, *hash_next;
	struct arena *arena;
	struct slice id;
	struct slice from;        /* whose share of a transport it takes */
	const char *name;         /* of its file */
	int fd;
	struct message_layout layout;
	struct message_envelope envelope;
	double queued;
	size_t jobs;              /* not answered yet, waiting or running */
	size_t pending, failed, to_tell; /* recipients of this status */
	bool deleted;             /* by the administrator: goes when its jobs have ended */
	bool held;                /* by the administrator: put on hold when its jobs have ended */
	bool expired;             /* past its lifetime: what is not delivered now goes back */
	bool flushed;             /* somebody asked for it: defer_transports do not count */
	bool notice_failed;       /* its sender is told another time */
	bool has_results;         /* records follow the message in the file */
	enum backoff_reason backoff; /* the gravest of what was said, and the longest pause that was named */
	double hint;
};

struct queue_settings {
	struct backoff_settings backoff;
	double lifetime, bounce_lifetime, delay_warning;
	size_t active_limit, recipient_limit;
	bool soft_bounce;
};

/* queue.c: what there is. */
/* Starts by reading the whole queue. */
void queue_open(const struct config *config, int directory, int corrupt);
const struct queue_settings *queue_settings(void);
int queue_directory(void);
/* A committed message that is new or due; ignored when it is active already. */
void queue_take(struct slice id);
/* Has it wait until `time`. */
void queue_wait(struct slice id, double time);
struct deferred *queue_deferred(void);
void queue_add_active(struct message *m);
void queue_forget_active(struct message *m);
const struct message *queue_active_first(void);
/* Messages on hold: nothing is done with them until they are released or deleted. */
struct deferred *queue_held(void);
void queue_put_on_hold(struct slice id);
/* `id` or "ALL": how many were put on hold (one that is being delivered when that has ended), or released. */
size_t queue_hold(struct slice id);
size_t queue_release(struct slice id);
/* 1 deleted (or marked), 0 no such message. */
int queue_delete(struct slice id);
size_t queue_delete_all(void);
/* All deferred messages are due now. */
size_t queue_flush(void);
/* This one is; false: it does not wait. */
bool queue_flush_message(struct slice id);
/* Those that go to a site: how many (sites.h). */
size_t queue_flush_site(uint32_t hash);
/* Looks for messages that nobody has told of, and sweeps leftovers. */
void queue_scan(void);
void queue_move_to_corrupt(const char *name, const char *why);

/* activate.c: into memory, and to the scheduler. */
void activate_open(const struct config *config, struct router *router);
/* `flushed`: at somebody's request. */
void message_activate(struct slice id, bool flushed);

/* message.c: what happens to an active message. */
/* Result for a recipient of a job; checked already to be the job's and not answered. */
void message_answer(struct message *m, const struct delivery_result *result, bool log);
/* All of the job's recipients are answered; frees the job. */
void message_job_done(struct job *job);
/* Defers or fails all of the job's recipients that are not answered (no agent did). */
void message_fail_job(struct job *job, enum delivery_outcome outcome, const char *dsn, const char *text);
/* No job is left: tells the sender what there is to tell, then removes the message or has it wait. */
void message_settle(struct message *m);
/* The sender was told, or is to be told later. */
void message_noticed(struct message *m, enum qmgr_notice kind, bool done);

/* agent.c: delivery agents. */
void agents_open(const struct config *config, struct schedule *schedule);
struct schedule *agents_schedule(void);
/* Something may have become possible for this transport. */
void agents_dispatch(struct transport *t);

/* notice.c: has bounce tell the sender; calls message_noticed at the end. */
void notice_open(void);
void notice_send(struct message *m, enum qmgr_notice kind);

/* control.c: cleanup, showq, commands. */
void control_accept(int fd, const char *role);
/* Offers the file of a message that has gone to cleanup; false: nobody wants it. */
bool control_give_back(const char *name);
/* Mail comes faster than it goes (in_flow_delay), or no longer. */
void control_flow(bool flooded);

#endif
