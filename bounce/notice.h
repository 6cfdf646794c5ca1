/* SPDX-License-Identifier: ISC */
/* The text of a delivery status notice (RFC 3464): multipart/report in CRLF lines. */
#ifndef POSTRIDER_BOUNCE_NOTICE_H
#define POSTRIDER_BOUNCE_NOTICE_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct notice_settings {
	const char *myhostname, *mail_name;
	uint64_t size_limit;       /* of the returned message */
};

struct notice {
	struct slice queue_id;
	const struct message_envelope *envelope;
	const struct message_result *results;
	struct slice original;     /* the message (or its header): as it would be delivered */
	bool header_only;
	double now;
};

/* Recipients with status RECIPIENT_FAILED are reported. */
void notice_write(const struct notice *notice, const struct notice_settings *settings, struct str *out);

#endif
