/* SPDX-License-Identifier: ISC */
/*
 * Mailboxes: mbox and Maildir.  Called in a process that is the mailbox's owner already; blocks.  When
 * "sent" is told the message is on the disk; else nothing of it is left in the mailbox.
 */
#ifndef POSTRIDER_DELIVERY_LIB_MAILBOX_H
#define POSTRIDER_DELIVERY_LIB_MAILBOX_H

#include "delivery/lib/content.h"
#include "delivery/lib/lock.h"
#include "delivery/lib/outcome.h"

struct mailbox {
	const char *path;             /* ending in '/': a Maildir, made with its parents when it is not there */
	struct lock_style locks;      /* of an mbox */
	uint64_t limit;               /* bytes of an mbox, or of a message in a Maildir; 0: none */
	bool strict_owner;            /* an mbox that belongs to another is not written to */
	bool any_file;                /* a destination of an alias: /dev/null and the like too */
};

void mailbox_store(const struct mailbox *m, const struct content *c, struct outcome *o);

#endif
