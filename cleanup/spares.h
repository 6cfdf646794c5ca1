/* SPDX-License-Identifier: ISC */
/*
 * Queue files made ahead, in batches, each batch's names synced at once, so that a commit need
 * not sync the directory; or files whose messages have gone, made ready again (reuse.h).  Each is
 * locked while open: a file that is not committed and can be locked is a leftover.
 */
#ifndef POSTRIDER_CLEANUP_SPARES_H
#define POSTRIDER_CLEANUP_SPARES_H

#include "common/proto/cleanup_proto.h"

struct spare_file {
	char id[MESSAGE_ID_SIZE];
	int fd;
	uint64_t room;          /* durable.h's */
};

/*
 * `directory` is the queue's; it stays the caller's.  on_change runs after spares came
 * (refusal NULL), or when none can be made (why).
 */
void spares_start(int directory, void (*on_change)(const struct cleanup_refusal *refusal));
/* Stops making files and removes those that nobody took. */
void spares_stop(void);
/* The same without waiting for the task, for a process that ends: nothing runs any more. */
void spares_retire(void);
/* False: none now; on_change will be called.  Or none can be made: then *refusal has a code. */
bool spares_take(struct spare_file *spare, struct cleanup_refusal *refusal);
/* The message of this file has gone (MESSAGE_FREE): it may be used again. */
void spares_return(const char *name);
/* 452 or 451, by errno. */
void spares_refusal(int error, struct cleanup_refusal *refusal);
/* Removes queue/ID from a worker thread; closes fd. */
void spares_discard(const char *id, int fd);

#endif
