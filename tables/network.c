/* SPDX-License-Identifier: ISC */
#include "tables/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* IPv4 in IPv6 clothes is IPv4. */
static void unmap(struct network *n)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (n->family == AF_INET6 && n->bits >= 96 && memcmp(n->address, mapped, 12) == 0) {
		memmove(n->address, n->address + 12, 4);
		n->family = AF_INET;
		n->bits -= 96;
	}
}

/* "1.2.3.4", "::1", "[::1]". */
static bool parse_address(struct slice text, struct network *n)
{
	char buf[64];

	if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
		text = slice_sub(text, 1, text.len - 2);
	if (slice_starts_nocase(text, SLICE("ipv6:")))
		text = slice_sub(text, 5, text.len);
	if (text.len >= sizeof(buf) || slice_find(text, '\0') >= 0)
		return false;
	snprintf(buf, sizeof(buf), "%.*s", SLICE_FMT(text));
	memset(n, 0, sizeof(*n));
	if (inet_pton(AF_INET, buf, n->address) == 1) {
		n->family = AF_INET;
		n->bits = 32;
	} else if (inet_pton(AF_INET6, buf, n->address) == 1) {
		n->family = AF_INET6;
		n->bits = 128;
	} else {
		return false;
	}
	return true;
}

bool network_parse_address(struct slice text, struct network *n)
{
	if (!parse_address(text, n))
		return false;
	unmap(n);
	return true;
}

static bool host_bits_are_zero(const struct network *n)
{
	unsigned size = n->family == AF_INET ? 32 : 128;

	for (unsigned bit = n->bits; bit < size; bit++)
		if (n->address[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

int network_parse(struct slice text, struct network *n, struct err *err)
{
	ptrdiff_t slash = slice_rfind(text, '/');
	uint64_t bits;

	if (slash < 0) {
		if (!parse_address(text, n))
			return 0;
		unmap(n);
		return 1;
	}
	if (!parse_address(slice_sub(text, 0, (size_t)slash), n))
		return 0;
	if (!slice_to_u64(slice_sub(text, (size_t)slash + 1, text.len), &bits) || bits > n->bits) {
		err_set(err, ERR_SYNTAX, "bad network length in \"%.*s\"", SLICE_FMT(text));
		return -1;
	}
	n->bits = (unsigned)bits;
	if (!host_bits_are_zero(n)) {
		err_set(err, ERR_SYNTAX, "\"%.*s\": the address has bits set beyond the network length",
			SLICE_FMT(text));
		return -1;
	}
	unmap(n);
	return 1;
}

bool network_contains(const struct network *n, const struct network *address)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->family != address->family || memcmp(n->address, address->address, whole) != 0)
		return false;
	return rest == 0 ||
	       ((n->address[whole] ^ address->address[whole]) >> (8 - rest)) == 0;
}
