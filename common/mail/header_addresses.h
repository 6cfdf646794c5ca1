/* SPDX-License-Identifier: ISC */
/* Header fields that hold addresses, and changing the addresses in them. */
#ifndef POSTRIDER_COMMON_MAIL_HEADER_ADDRESSES_H
#define POSTRIDER_COMMON_MAIL_HEADER_ADDRESSES_H

#include "common/base/err.h"
#include "common/mail/address_scan.h"
#include "common/mail/header.h"

/* As Postfix's cleanup tells them apart; HEADER_PLAIN holds no addresses. */
enum header_kind { HEADER_PLAIN, HEADER_SENDER, HEADER_RECIPIENT };
enum header_kind header_kind(struct slice name);

struct header_change {
	/* *to is set to what the address becomes, in internal form; the same: it stays. */
	bool (*replace)(void *context, const struct address_place *place, struct slice *to, struct err *err);
	void *context;
	struct arena *arena;
	size_t limit;              /* addresses looked at in a field */
};

/*
 * 1: some address has changed, and the whole field is appended to *out; 0: it stays as it is;
 * -1: `replace` failed.  What is malformed stays from there on.
 */
int header_change_addresses(const struct header_field *field, const struct header_change *change, struct str *out,
			    struct err *err) MUST_USE;

#endif
