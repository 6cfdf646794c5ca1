/* SPDX-License-Identifier: ISC */
/* DNS messages (RFC 1035, EDNS RFC 6891): building queries, taking answers apart. */
#ifndef POSTRIDER_COMMON_PROTO_DNS_WIRE_H
#define POSTRIDER_COMMON_PROTO_DNS_WIRE_H

#include "common/proto/resolver_proto.h"

#define WIRE_QUERY_MAX 512
#define WIRE_UDP_SIZE  1232  /* what we tell servers to send at most */

/* Length of the query in `out`; 0 when the name is malformed. */
size_t wire_query(uint16_t id, struct slice name, enum dns_type type, uint8_t out[WIRE_QUERY_MAX]);

enum wire_result {
	WIRE_OK,         /* *answer is filled */
	WIRE_NOT_OURS,   /* other id or question: keep listening */
	WIRE_TRUNCATED,  /* ask again by TCP */
	WIRE_SERVER      /* SERVFAIL, REFUSED, malformed: try the next server */
};
/*
 * `ttl` is how long the answer holds, in seconds (for negative ones by the SOA).  AD counts
 * when `trusted`.  Memory is the arena's.
 */
enum wire_result wire_answer(struct slice packet, uint16_t id, struct slice name, enum dns_type type, bool trusted,
			     struct arena *arena, struct dns_answer *answer, uint32_t *ttl);

#endif
