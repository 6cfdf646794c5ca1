/* SPDX-License-Identifier: ISC */
/* One message of the queue listing: as mailq prints it, or as a line of JSON. */
#ifndef POSTRIDER_SHOWQ_LISTING_H
#define POSTRIDER_SHOWQ_LISTING_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct listing {
	const char *id, *queue;      /* queue: "active", "deferred", "hold", "incoming" */
	struct message_layout layout;
	struct message_envelope envelope;
	struct message_result *results;
};

extern const char listing_header[];
void listing_text(const struct listing *l, struct str *out);
void listing_json(const struct listing *l, struct str *out);

#endif
