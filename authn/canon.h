/* SPDX-License-Identifier: ISC */
/* Canonical forms of header fields and bodies (RFC 6376 §3.4), and hashes over them. */
#ifndef POSTRIDER_AUTHN_CANON_H
#define POSTRIDER_AUTHN_CANON_H

#include <openssl/evp.h>

#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/mail/header.h"

#define CANON_DIGEST     32   /* bytes of SHA-256 */
#define CANON_FIELDS_MAX 4000 /* header fields that are looked at */

enum canon { CANON_SIMPLE, CANON_RELAXED };

/* A header, field by field, from the top. */
struct canon_header {
	struct header_field *field;
	size_t count;
	bool complete; /* false: more than CANON_FIELDS_MAX, or lines that are no fields */
};
/* Slices point into `header`, whose lines end in CRLF (the empty line may be there or not). */
void canon_header_read(struct slice header, struct arena *arena, struct canon_header *fields);

/* Appends the field with its CRLF. */
void canon_field(enum canon form, struct slice whole, struct str *out);
/*
 * The same without CRLF and without the value of tag b=, whose text (all between '=' and ';') is
 * `b`: a part of `whole`.
 */
void canon_signature(enum canon form, struct slice whole, struct slice b, struct str *out);

/* Hashes of one body in several forms at once; the body comes in pieces. */
struct canon_bodies;
struct canon_bodies *canon_bodies_create(void);
void canon_bodies_free(struct canon_bodies **bodies);
/* Before the first piece: another form; `limit` counts octets of the canonical body (UINT64_MAX:
 * all).  -1: too many. */
int canon_bodies_want(struct canon_bodies *bodies, enum canon form, uint64_t limit);
void canon_bodies_feed(struct canon_bodies *bodies, struct slice piece);
void canon_bodies_finish(struct canon_bodies *bodies);
/* After the end.  *length: of the whole canonical body. */
void canon_bodies_digest(const struct canon_bodies *bodies, int index, uint8_t digest[CANON_DIGEST],
			 uint64_t *length);

#endif
