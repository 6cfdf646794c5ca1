/* SPDX-License-Identifier: ISC */
/*
 * The last answers of the resolver, for a minute at most: three questions a message that need not go to
 * another process.  Answers with records only; never beyond their TTL.
 */
#ifndef POSTRIDER_MAILAUTH_DNS_CACHE_H
#define POSTRIDER_MAILAUTH_DNS_CACHE_H

#include "common/proto/resolver_proto.h"

/* False: not there, or too old.  Memory of *answer is `arena`'s. */
bool dns_cache_find(struct slice name, enum dns_type type, double now, struct arena *arena, struct dns_answer *answer);
void dns_cache_keep(struct slice name, enum dns_type type, double now, const struct dns_answer *answer);
void dns_cache_clear(void);

#endif
