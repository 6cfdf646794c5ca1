/* SPDX-License-Identifier: ISC */
/*
 * The header that HAProxy puts before a connection's first byte (the PROXY protocol, versions 1 and 2): who
 * the client is, and which of our addresses it reached.  No I/O.
 */
#ifndef POSTRIDER_COMMON_NET_PROXY_HEADER_H
#define POSTRIDER_COMMON_NET_PROXY_HEADER_H

#include <netinet/in.h>

#include "common/base/slice.h"

#define PROXY_HEADER_MAX 536       /* of version 2 with its extras; version 1 has at most 107 */

struct proxy_end {
	char address[INET6_ADDRSTRLEN];
	unsigned port;
};

struct proxy_header {
	bool proxied;                  /* else the proxy speaks for itself (a health check), or does not know */
	struct proxy_end client, server;
};

/*
 * How many bytes more certainly belong to the header that begins with `start`: whoever reads no more than these
 * leaves what follows it to others (TLS).  0: it is whole, or it is none: proxy_header_parse tells.
 */
size_t proxy_header_wants(struct slice start);
/* A whole header and nothing else.  False: malformed. */
bool proxy_header_parse(struct slice text, struct proxy_header *header);

#endif
