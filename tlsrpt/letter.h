/* SPDX-License-Identifier: ISC */
/* Where reports go (RFC 8460, section 3), and the mail that carries one (section 5.3). */
#ifndef POSTRIDER_TLSRPT_LETTER_H
#define POSTRIDER_TLSRPT_LETTER_H

#include "common/base/err.h"
#include "common/base/str.h"

#define LETTER_ADDRESSES_MAX 5

/*
 * The mail addresses of a record "v=TLSRPTv1; rua=mailto:a@example.com,https:…": their number, 0 when there is
 * none or it is malformed.  In internal form, into `room` (at least the record's length).
 */
size_t letter_addresses(struct slice txt, char *room, struct slice address[LETTER_ADDRESSES_MAX]);
bool letter_is_record(struct slice txt);

struct letter {
	const char *domain, *hostname, *from, *id;
	double start, end;
	struct slice to, report;       /* report: JSON */
};
/* Header and body, CRLF lines.  False: it cannot be compressed. */
bool letter_compose(const struct letter *letter, struct str *out, struct err *err) MUST_USE;

#endif
