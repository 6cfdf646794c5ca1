/* SPDX-License-Identifier: ISC */
/* Addresses and networks of IPv4 and IPv6; IPv4 in IPv6 clothes (::ffff:1.2.3.4) is IPv4. */
#ifndef POSTRIDER_TABLES_NETWORK_H
#define POSTRIDER_TABLES_NETWORK_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct network {
	int family;              /* AF_INET, AF_INET6 */
	uint8_t address[16];
	unsigned bits;           /* of the prefix */
};

/* "1.2.3.4", "::1", "[::1]", "IPv6:::1"; all bits count. */
bool network_parse_address(struct slice text, struct network *address) MUST_USE;
/* "1.2.3.0/24", or an address.  1: a network, 0: does not look like one, -1: malformed (ERR_SYNTAX). */
int network_parse(struct slice text, struct network *network, struct err *err) MUST_USE;
bool network_contains(const struct network *network, const struct network *address);

#endif
