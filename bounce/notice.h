/* SPDX-License-Identifier: ISC */
/* The text of a delivery status notice (RFC 3464, RFC 6533): multipart/report in CRLF lines. */
#ifndef POSTRIDER_BOUNCE_NOTICE_H
#define POSTRIDER_BOUNCE_NOTICE_H

#include "bounce/template.h"
#include "common/mail/message_file.h"
#include "common/proto/qmgr_proto.h"

#define NOTICE_ALL UINT32_MAX

struct notice_settings {
	const char *myhostname, *myorigin;
	const struct templates *templates;
};

struct notice {
	enum qmgr_notice kind;
	bool postmaster;           /* a copy for the postmaster */
	struct slice queue_id;
	struct slice to;           /* whom the notice goes to */
	uint32_t only;             /* this recipient's, or NOTICE_ALL */
	const struct message_envelope *envelope;
	const struct message_result *results;
	struct slice original;     /* the message (or its header): as it would be delivered */
	bool header_only;
	double now;
	double retry_until;        /* NOTICE_DELAY */
};

/* Is this recipient's state one that a notice of that kind is about, and does its sender want to know (NOTIFY)? */
bool notice_concerns(enum qmgr_notice kind, const struct message_recipient *recipient);
/* Reports the recipients that it concerns. */
void notice_write(const struct notice *notice, const struct notice_settings *settings, struct str *out);

#endif
