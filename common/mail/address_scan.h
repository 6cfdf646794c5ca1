/* SPDX-License-Identifier: ISC */
/*
 * Walking over the addresses of a header field's value, or of a table's result, with the place of
 * each: so that one can be replaced and all around it (names, comments, folds) stays as it was.
 */
#ifndef POSTRIDER_COMMON_MAIL_ADDRESS_SCAN_H
#define POSTRIDER_COMMON_MAIL_ADDRESS_SCAN_H

#include "common/base/arena.h"
#include "common/base/str.h"

struct address_place {
	struct slice text;         /* part of what is walked over: the address without brackets and route */
	struct slice address;      /* its internal form */
	bool quoted;               /* the local part was a quoted string: text, also where it looks like a route */
	bool null;                 /* "<>" */
};

/* Zeroed but for `rest`: what is to be walked over. */
struct address_scan {
	struct slice rest;
	const char *known;         /* up to here `named` holds for all words */
	bool named;
};

/*
 * The next address.  1: found; 0: no more; -1: malformed from here on (`rest` is empty then).
 * Mailboxes, groups, comments, obsolete routes of RFC 5322; words side by side without a comma are
 * addresses of their own.  The time is proportional to the length, whatever it holds.
 */
int address_scan_next(struct address_scan *scan, struct arena *arena, struct address_place *place);

#endif
