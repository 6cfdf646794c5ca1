/* SPDX-License-Identifier: ISC */
/* The queue listing: messages as mailq prints them, or as lines of JSON. */
#ifndef POSTRIDER_COMMON_MAIL_LISTING_H
#define POSTRIDER_COMMON_MAIL_LISTING_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct listing {
	const char *id, *queue;      /* queue: "active", "deferred", "hold", "incoming" */
	struct message_layout layout;
	struct message_envelope envelope;
	struct message_result *results;
	double next_attempt;         /* of one that is deferred; 0: not planned */
};

/* Between listing_start and listing_end; zeroed at the start. */
struct listing_sum {
	size_t messages;
	uint64_t bytes;
};

void listing_text(const struct listing *l, struct str *out);
void listing_json(const struct listing *l, struct str *out);

/* The message `id` of the directory of queue files; nothing is added for one that is not there any more. */
void listing_add(int queue_fd, const char *id, const char *queue, bool json, struct listing_sum *sum, struct str *out);
/* For text only: the line before the first message, the line behind the last. */
void listing_start(struct str *out);
void listing_end(const struct listing_sum *sum, struct str *out);

#endif
