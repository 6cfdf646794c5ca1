/* SPDX-License-Identifier: ISC */
/*
 * Names to addresses: RFC 5321 section 5.  MX hosts in order of preference,
 * equals in random order; a domain without MX is its own host; null MX (RFC 7505); mail that
 * would come back to ourselves; temporary and permanent failures apart.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_LOOKUP_H
#define POSTRIDER_DELIVERY_SMTP_LOOKUP_H

#include "delivery/smtp/target.h"

/* Asks one question; resolver_query, or a test's answers.  `context` is the resolver's client. */
struct dns_answer;
typedef void smtp_query_fn(void *context, struct slice name, int type, struct arena *arena, struct dns_answer *answer);

struct smtp_lookup {
	smtp_query_fn *query;
	void *context;
	const struct smtp_settings *settings;
	struct arena *arena;
	unsigned port;
};

/* Both: false fills *failure. */
bool smtp_lookup_domain(const struct smtp_lookup *lookup, struct slice domain, struct smtp_target_list *list,
			struct smtp_failure *failure) MUST_USE;
bool smtp_lookup_host(const struct smtp_lookup *lookup, struct slice host, struct smtp_target_list *list,
		      struct smtp_failure *failure) MUST_USE;

#endif
