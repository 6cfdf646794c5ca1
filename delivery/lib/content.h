/* SPDX-License-Identifier: ISC */
/* A message as it leaves the mail system: fields put first, line ends, quoted lines. */
#ifndef POSTRIDER_DELIVERY_LIB_CONTENT_H
#define POSTRIDER_DELIVERY_LIB_CONTENT_H

#include "common/base/str.h"
#include "common/mail/message_file.h"

#define CONTENT_QUOTE_FROM 1      /* '>' before lines that start with "From " or ">From " … */
#define CONTENT_QUOTE_DOT  2      /* '.' before lines that start with '.' */
#define CONTENT_BLANK_LINE 4      /* an empty line at the end */

struct content {
	int fd;                       /* the message file */
	uint64_t from, to;            /* the part of it that is content */
	struct slice head;            /* lines that are put first; see content_head */
	struct slice new_header;      /* the message's stored header block */
	struct slice eol;             /* line end: "\n" */
	unsigned flags;
};

/* Reads layout and header block of the message; `arena` holds them.  The rest is the caller's. */
bool content_open(struct content *c, int fd, struct arena *arena, struct err *err) MUST_USE;
/* False: errno; how much was written is not known then. */
bool content_write(const struct content *c, int fd);
/* Bytes, about: without what is put first. */
uint64_t content_size(const struct content *c);

#define HEAD_FROM         1       /* "From sender  date": the start of a message in an mbox */
#define HEAD_RETURN_PATH  2
#define HEAD_ORIGINAL_TO  4
#define HEAD_DELIVERED_TO 8

struct content_envelope {
	struct slice sender;          /* as it is shown in the From_ line: "MAILER-DAEMON" */
	struct slice return_path;     /* empty: <> */
	struct slice original, delivered; /* internal form; an empty one is left out */
};
/* Appends the fields that `which` (HEAD_…) names, in Postfix's order. */
void content_head(struct str *out, const struct content_envelope *e, unsigned which);
/* Is this address in a Delivered-To field of the header (without case)?  A header beyond 64 KiB is not read on. */
bool content_was_delivered_to(const struct content *c, struct slice address);

#endif
