/* SPDX-License-Identifier: ISC */
/* Locks on mailboxes, as mailbox_delivery_lock and virtual_mailbox_lock list them.  These calls block. */
#ifndef POSTRIDER_DELIVERY_LIB_LOCK_H
#define POSTRIDER_DELIVERY_LIB_LOCK_H

#include <stdbool.h>

#include "common/base/err.h"

struct lock_style {
	bool fcntl, flock, dotlock;
	int attempts;                 /* deliver_lock_attempts */
	double delay, stale;          /* seconds: deliver_lock_delay, stale_lock_time */
};

/* Words of "fcntl, flock, dotlock", at least one; sets these three only. */
bool lock_parse(struct lock_style *style, const char *words, struct err *err) MUST_USE;
/*
 * Makes PATH.lock, when the style has it.  1: made; 0: not wanted, or the folder does not let us (then
 * the other locks have to do); -1: somebody holds it, errno EAGAIN, or another error.
 */
int lock_dot(const struct lock_style *style, const char *path);
void lock_undot(const char *path);
/* Locks the open file; goes with its descriptor.  False: errno, EAGAIN when somebody holds it. */
bool lock_file(const struct lock_style *style, int fd);

#endif
