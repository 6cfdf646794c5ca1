/* SPDX-License-Identifier: ISC */
/* The line that says what became of a recipient, in Postfix's form: "ID: to=<…>, relay=…, status=…". */
#ifndef POSTRIDER_COMMON_MAIL_DELIVERY_LOG_H
#define POSTRIDER_COMMON_MAIL_DELIVERY_LOG_H

#include "common/base/slice.h"

struct delivery_log {
	struct slice queue_id, recipient;
	struct slice original;     /* empty when it is the recipient */
	struct slice relay;        /* "none" when empty */
	/* Wall clock; 0: the phase was not reached. delays= before qmgr/in qmgr/connection/transmission. */
	double arrival, queued, setup, transmission, end;
	struct slice dsn;
	const char *status;        /* "sent", "deferred", "bounced", "expired" … */
	struct slice reason;
};

/* The word for an outcome; of a probe: "deliverable", "undeliverable". */
enum delivery_word { DELIVERY_WORD_SENT, DELIVERY_WORD_DEFERRED, DELIVERY_WORD_BOUNCED };
const char *delivery_log_word(enum delivery_word word, bool probe);

void delivery_log(const struct delivery_log *entry);
/* Seconds as Postfix prints them: at most two digits that count: 0, 0.02, 1.3, 45. */
void delivery_log_seconds(double seconds, char *out, size_t size);

#endif
