/* SPDX-License-Identifier: ISC */
/*
 * smtp_generic_maps (generic(5)): addresses of this machine become those that others may see, in the envelope and in
 * the header, as the message leaves.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_GENERIC_H
#define POSTRIDER_DELIVERY_SMTP_GENERIC_H

#include "delivery/smtp/content.h"
#include "tables/table.h"

struct smtp_generic {
	struct table_list *maps;
	struct match_list *local;         /* domains whose users are keys without a domain too */
	const char *origin;               /* completes results */
	const char *delimiters;           /* recipient_delimiter */
	bool carry;                       /* an extension that no key had stays */
	size_t address_limit;             /* looked at in a header field */
};

/* Before the sandbox; stays for good.  *enabled false: there are no such tables. */
bool smtp_generic_load(struct smtp_generic *generic, const struct config *config, bool lmtp, bool *enabled,
		       struct err *err) MUST_USE;
bool smtp_generic_changed(const struct smtp_generic *generic);

/* *address becomes what the tables have for it.  False: a table cannot be asked (*err).  May suspend. */
bool smtp_generic_address(const struct smtp_generic *generic, struct arena *arena, struct slice *address,
			  struct err *err) MUST_USE;
/* The same with all addresses of the header. */
bool smtp_generic_content(const struct smtp_generic *generic, struct content *content, const struct delivery_job *job,
			  struct arena *arena, struct err *err) MUST_USE;

#endif
