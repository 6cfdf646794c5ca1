/* SPDX-License-Identifier: ISC */
/* DNS for tests of authn: a table of records. */
#ifndef POSTRIDER_TESTS_SUPPORT_ZONE_H
#define POSTRIDER_TESTS_SUPPORT_ZONE_H

#include <arpa/inet.h>

#include "authn/dns.h"

struct zone_record {
	const char *name;              /* NULL ends the table */
	enum dns_type type;
	const char *data;              /* text, address or name; NULL: no answer now */
};

/* context: the table. */
static inline void zone_query(void *context, struct slice name, enum dns_type type, struct arena *arena,
			      struct dns_answer *answer)
{
	*answer = (struct dns_answer){ .status = DNS_NXDOMAIN };
	answer->records = arena_alloc(arena, 16 * sizeof(*answer->records));
	for (const struct zone_record *z = context; z->name && answer->count < 16; z++) {
		struct dns_record *r = &answer->records[answer->count];
		char *address = arena_alloc(arena, 16);

		if (!slice_eq_nocase(name, slice_of(z->name)))
			continue;
		if (answer->status == DNS_NXDOMAIN)
			answer->status = DNS_NODATA;
		if (z->type != type)
			continue;
		if (!z->data) {
			*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
			return;
		}
		*r = (struct dns_record){ .type = type, .ttl = 60, .name = slice_of(z->data), .data = slice_of(z->data) };
		if (type == DNS_A || type == DNS_AAAA) {
			inet_pton(type == DNS_A ? AF_INET : AF_INET6, z->data, address);
			r->data = slice_make(address, type == DNS_A ? 4 : 16);
		}
		answer->count++;
		answer->status = DNS_OK;
	}
}

#endif
