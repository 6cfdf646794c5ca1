/* SPDX-License-Identifier: ISC */
/* The name servers: which, and asking them by UDP and TCP. */
#ifndef POSTRIDER_RESOLVER_UPSTREAM_H
#define POSTRIDER_RESOLVER_UPSTREAM_H

#include "common/config/config.h"
#include "common/proto/resolver_proto.h"

struct upstream;
/* From resolver_nameservers, else /etc/resolv.conf, else 127.0.0.1. */
struct upstream *upstream_create(const char *nameservers, struct err *err) MUST_USE;
/*
 * Asks all servers in turn, twice; suspends the task for 12 seconds at most.  DNS_TEMPORARY when
 * none gives an answer.
 */
void upstream_ask(struct upstream *upstream, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer, uint32_t *ttl);

#endif
