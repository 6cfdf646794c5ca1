/* SPDX-License-Identifier: ISC */
/* Turning a written file into a message in the queue. */
#ifndef POSTRIDER_CLEANUP_COMMIT_H
#define POSTRIDER_CLEANUP_COMMIT_H

#include "cleanup/submission.h"

struct commit {
	char id[MESSAGE_ID_SIZE];
	int fd;
	uint64_t room;                  /* durable.h's */
	struct arena *arena;
	struct message_envelope envelope;
	struct message_content content;
	struct rewriter *rewriter;      /* held while it is worked on */
};

/*
 * Checks, completes, writes and syncs; suspends the task.  True: the message is durable, or
 * (DISCARD) answered so and gone.  False:
 * the file is removed and *refusal says why.  Either way fd is closed.
 */
bool commit_message(struct commit *commit, const struct submission_settings *settings,
		    struct cleanup_refusal *refusal);
/* Is there room for another message?  Else fills *refusal with 452. */
bool commit_has_room(const struct submission_settings *settings, struct cleanup_refusal *refusal);

#endif
