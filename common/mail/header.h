/* SPDX-License-Identifier: ISC */
/*
 * RFC 5322 header blocks: taking one apart field by field, and the fields
 * that a mail server adds.
 */
#ifndef POSTRIDER_COMMON_MAIL_HEADER_H
#define POSTRIDER_COMMON_MAIL_HEADER_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct header_field {
	struct slice name;   /* "Subject"; empty for a line that is no field (an mbox "From " line) */
	struct slice value;  /* what follows the colon, trimmed; folds (CRLF and white space) as they are */
	struct slice whole;  /* name to terminating CRLF or LF */
};

/*
 * Takes the next field off the front of *block.  False at the empty line, which is left
 * there, at the first line that cannot be header, and at the end.
 */
bool header_next(struct slice *block, struct header_field *field);
bool header_is(const struct header_field *field, const char *name);
/* Appends the value in one line: folds become their white space, other control characters a space. */
void header_unfold(struct str *out, struct slice value);

#define HEADER_DATE_SIZE 64
/* RFC 5322 date in local time: "Tue, 24 Nov 2026 12:34:37 +0000 (UTC)". */
void header_date(double when, char date[HEADER_DATE_SIZE]);

/*
 * Appends a Received field in Postfix's form.  `recipient` is shown in "for <…>", when not
 * empty; what came from the network is made printable.
 */
void header_received(struct str *out, const struct message_envelope *envelope, const char *queue_id,
		     const char *hostname, const char *mail_name, struct slice recipient);
/* Appends "<yyyymmddhhmmss.QUEUEID@hostname>". */
void header_message_id(struct str *out, double when, const char *queue_id, const char *hostname);
/* Appends text as a phrase: as it is, or quoted where RFC 5322 wants that. */
void header_phrase(struct str *out, struct slice text);

#endif
