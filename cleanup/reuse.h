/* SPDX-License-Identifier: ISC */
/*
 * Using queue files again.  A new file costs five times what overwriting one does: an inode, blocks,
 * a directory entry, and a journal commit at the sync.
 *
 * A file is used again only when nobody else has it open (fcntl(2), F_SETLEASE), so that a descriptor
 * never sees a second message; its header says MESSAGE_FREE; that there is no message in it (MESSAGE_OPEN)
 * is durable before anything else is changed; and what was in it is overwritten with zeros before it is handed out.
 */
#ifndef POSTRIDER_CLEANUP_REUSE_H
#define POSTRIDER_CLEANUP_REUSE_H

#include <stddef.h>

#include "common/mail/message_file.h"

struct queue_slot {
	char name[MESSAGE_NAME_SIZE];
	int fd;
	uint64_t room;          /* durable.h's */
};

/*
 * Opens and clears the files that the first `count` slots name; those that can be used stand first
 * afterwards, open and locked, and their number is returned.  The others are removed.  May wait for the
 * disk: for a worker thread.
 */
size_t reuse_slots(int directory, struct queue_slot *slots, size_t count);

#endif
