/* SPDX-License-Identifier: ISC */
/*
 * A server's reply, RFC 5321 section 4.2: lines "250-text" … "250 text", with
 * enhanced status codes (RFC 2034).  Servers are hostile: lengths are bounded, control characters
 * and invalid UTF-8 become '?'.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_REPLY_H
#define POSTRIDER_DELIVERY_SMTP_REPLY_H

#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/net/stream.h"

#define SMTP_REPLY_LINE_MAX  2048   /* longer lines are cut */
#define SMTP_REPLY_TOTAL_MAX 65536  /* a longer reply is malformed */
#define SMTP_REPLY_KEPT_MAX  16384  /* of the text that is kept */

struct smtp_reply {
	int code;         /* 200 to 599; 0: none yet, or malformed */
	char dsn[12];     /* "5.1.1" of the code's class; "5.0.0" and the like when the server gave none */
	struct str text;  /* lines as received, codes included, '\n' between them */
	size_t total;     /* bytes received */
};

enum smtp_reply_step { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_BAD };

void smtp_reply_clear(struct smtp_reply *reply);
void smtp_reply_free(struct smtp_reply *reply);
/* Takes a line without its terminator.  BAD: no reply, or the whole is too long. */
enum smtp_reply_step smtp_reply_line(struct smtp_reply *reply, struct slice line);
/*
 * Reads a reply under the stream's deadline.  A malformed one is STREAM_OK
 * with code 0 and the text so far.
 */
enum stream_status smtp_reply_read(struct smtp_reply *reply, struct stream *stream);
/* In one line, at most `max` bytes. */
struct slice smtp_reply_text(const struct smtp_reply *reply, size_t max, struct arena *arena);

/* Length of the valid UTF-8 sequence at the start of `s`, 0 when there is none. */
size_t smtp_utf8_sequence(struct slice s);

#endif
