/* SPDX-License-Identifier: ISC */
/*
 * A file in maildrop/: mail that a local user handed in, waiting for pickup.
 *
 *   "PRm1" LF
 *   a letter and its value, LF: S sender (once, may be empty), F full name, R recipient (many), N RFC 3461
 *   notify bits of the recipients that follow, V envelope ID, X VERP delimiters, T "FULL" or "HDRS", B "8BITMIME"
 *   an empty line
 *   content, with LF or CRLF line ends, to the end of the file
 *
 * Local users write these files, so all that is read here is untrusted.
 */
#ifndef POSTRIDER_COMMON_MAIL_MAILDROP_H
#define POSTRIDER_COMMON_MAIL_MAILDROP_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

#define MAILDROP_LINE_MAX       4096
#define MAILDROP_RECIPIENTS_MAX 100000

/* Appends the envelope, with the empty line.  False when a text has control characters or is too long. */
bool maildrop_encode(struct str *out, const struct message_envelope *envelope);

/*
 * Reads the envelope from the start of the file; *content is where the content starts.  ERR_SYNTAX
 * and ERR_LIMIT: out of form.
 */
bool maildrop_read(int fd, struct arena *arena, struct message_envelope *envelope, uint64_t *content,
		   struct err *err) MUST_USE;

/*
 * Copies the content from `offset` of `in` to MESSAGE_CONTENT_OFFSET of `out`, each line end as CRLF,
 * other CRs as a space.  More than `limit` bytes (0: any) is ERR_LIMIT.
 */
bool maildrop_copy(int in, uint64_t offset, int out, uint64_t limit, struct message_content *content,
		   struct err *err) MUST_USE;

#endif
