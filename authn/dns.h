/* SPDX-License-Identifier: ISC */
/*
 * How the library asks DNS: by a callback, so that daemons use the resolver's process and commands
 * a name server of their choice.
 */
#ifndef POSTRIDER_AUTHN_DNS_H
#define POSTRIDER_AUTHN_DNS_H

#include "common/proto/resolver_proto.h"

struct authn_dns {
	/* As resolver_query: fills *answer, with memory of `arena`; may suspend the task. */
	void (*query)(void *context, struct slice name, enum dns_type type, struct arena *arena,
		      struct dns_answer *answer);
	void *context;
};

/* Labels of 1 to 63 bytes, 253 in all, without control characters; one dot at the end is allowed.
 */
bool authn_domain_valid(struct slice name);
/* The same, and at least two labels. */
bool authn_domain_full(struct slice name);
/* authn_domain_valid, else the answer is DNS_NXDOMAIN: such a name cannot exist. */
void authn_query(const struct authn_dns *dns, struct slice name, enum dns_type type,
		 struct arena *arena, struct dns_answer *answer);
/* No answer now: neither records nor the certainty that there are none. */
bool authn_dns_failed(const struct dns_answer *answer);
/* Lower case, without the dot at the end, in `arena`; international names as they are in DNS
 * (A-labels). */
struct slice authn_domain(struct arena *arena, struct slice name);

#endif
