/* SPDX-License-Identifier: ISC */
/*
 * A message's content on its way to the wire: the new header block, then the
 * content of the file without what the block replaces.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_CONTENT_H
#define POSTRIDER_DELIVERY_SMTP_CONTENT_H

#include "common/base/str.h"
#include "common/net/stream.h"
#include "common/proto/delivery_proto.h"

/*
 * The transformer: lines end in CRLF, a bare LF ends a line, a bare CR becomes
 * a space, lines longer than `limit` (0: none; useful from 8 on) are folded with CRLF SPACE outside of
 * UTF-8 sequences, dots at the start of a line are doubled when `dots`.  Works piece by piece.
 */
struct content_filter {
	size_t limit;
	bool dots;
	size_t column;        /* bytes in the present output line, without stuffing */
	bool cr;              /* a CR is held back */
	unsigned open;        /* bytes still missing of a UTF-8 sequence */
};
void content_filter_put(struct content_filter *f, struct slice in, struct str *out);
/* Ends the last line when it is open. */
void content_filter_end(struct content_filter *f, struct str *out);
/* Only CRLF line ends, no bare CR or LF, and CRLF at the end (or empty). */
bool content_is_clean(struct slice s);

/* A message to be sent. */
struct content {
	int fd;
	struct slice header;  /* new header block */
	struct slice memory;  /* the rest, when it is small enough to be held; else ptr NULL */
	uint64_t offset;      /* the rest in the file */
	uint64_t length;
	bool plain;           /* the rest may go out as it is */
	bool open_end;        /* the rest has no CRLF at its end */
	uint64_t size;        /* bytes on the wire as BDAT, and for SIZE= */
	bool header_utf8;     /* some byte above 127 in the header */
};

/* Reads what is needed now, into `arena`.  False: our own trouble. */
bool content_open(struct content *c, const struct delivery_job *job, size_t line_limit, struct arena *arena,
		  struct err *err) MUST_USE;
/* The first bytes of the rest, at most all of it: in the arena, or in what is held. */
bool content_read(const struct content *c, uint64_t length, struct arena *arena, struct slice *start, struct err *err) MUST_USE;
/* `header` (the arena's) stands for the block, and for the first `skip` bytes of the rest. */
void content_replace_header(struct content *c, struct slice header, uint64_t skip);
/* True when all is plain (no folding needed), so that BDAT can tell its size. */
bool content_can_chunk(const struct content *c);
/* Held in memory as a whole: may be sent along with the envelope. */
bool content_in_memory(const struct content *c);
/* As BDAT data: exactly c->size bytes. */
enum stream_status content_send_chunk(const struct content *c, struct stream *stream, double timeout);
/* As DATA, with the final dot.  The timeout starts anew with each piece of a big message. */
enum stream_status content_send_data(const struct content *c, struct stream *stream, size_t line_limit,
				     double timeout);

#endif
