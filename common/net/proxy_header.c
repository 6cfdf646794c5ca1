/* SPDX-License-Identifier: ISC */
#include "common/net/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cursor.h"

#define SIGNATURE    SLICE("\r\n\r\n\0\r\nQUIT\n")
#define FIRST        15u     /* no header is shorter: "PROXY UNKNOWN\r\n" */
#define V1_MAX       107u
#define V2_FIXED     16u
#define V2_LOCAL     0x20
#define V2_PROXY     0x21
#define V2_UNSPECIFIED 0x00
#define V2_TCP4      0x11
#define V2_TCP6      0x21

static bool is_binary(struct slice s)
{
	return slice_starts(s, SIGNATURE);
}

size_t proxy_header_wants(struct slice s)
{
	struct cursor c = cursor_make(s.ptr, s.len);
	size_t whole;

	if (s.len < FIRST)
		return FIRST - s.len;
	if (slice_starts(s, SLICE("PROXY ")))
		return s.ptr[s.len - 1] == '\n' || s.len >= V1_MAX ? 0 : 1;
	if (!is_binary(s))
		return 0;
	if (s.len < V2_FIXED)
		return V2_FIXED - s.len;
	cursor_skip(&c, V2_FIXED - 2);
	whole = V2_FIXED + cursor_u16_be(&c);
	return whole > PROXY_HEADER_MAX || s.len >= whole ? 0 : whole - s.len;
}

static bool take_address(struct slice word, int family, struct proxy_end *end)
{
	unsigned char raw[sizeof(struct in6_addr)];

	if (word.len == 0 || word.len >= sizeof(end->address) || memchr(word.ptr, '\0', word.len))
		return false;
	memcpy(end->address, word.ptr, word.len);
	end->address[word.len] = '\0';
	/* In the one form that it has in our log and in access tables. */
	return inet_pton(family, end->address, raw) == 1 && inet_ntop(family, raw, end->address, sizeof(end->address));
}

static bool take_port(struct slice word, unsigned *port)
{
	uint64_t value;

	if (word.len == 0 || word.len > 5 || !slice_to_u64(word, &value) || value > 65535)
		return false;
	*port = (unsigned)value;
	return true;
}

static bool parse_text(struct slice s, struct proxy_header *h)
{
	struct slice word[6] = { SLICE_NONE }, rest;
	int family;

	if (s.len < 2 || s.len > V1_MAX || s.ptr[s.len - 2] != '\r' || s.ptr[s.len - 1] != '\n')
		return false;
	rest = slice_sub(s, 0, s.len - 2);
	for (size_t i = 0; i < 6; i++)
		(void)slice_cut(&rest, ' ', &word[i]);
	if (slice_eq(word[1], SLICE("UNKNOWN")))
		return true;
	family = slice_eq(word[1], SLICE("TCP4")) ? AF_INET : slice_eq(word[1], SLICE("TCP6")) ? AF_INET6 : 0;
	h->proxied = true;
	return family && rest.len == 0 && take_address(word[2], family, &h->client) &&
	       take_address(word[3], family, &h->server) && take_port(word[4], &h->client.port) &&
	       take_port(word[5], &h->server.port);
}

static void take_binary(struct cursor *c, int family, struct proxy_end *end)
{
	size_t len = family == AF_INET ? 4 : 16;
	struct slice raw = cursor_bytes(c, len);

	if (raw.len == len)
		(void)inet_ntop(family, raw.ptr, end->address, sizeof(end->address));
}

static bool parse_binary(struct slice s, struct proxy_header *h)
{
	struct cursor c = cursor_make(s.ptr, s.len);
	unsigned command, family;
	int af;

	cursor_skip(&c, SIGNATURE.len);
	command = cursor_u8(&c);
	family = cursor_u8(&c);
	if (s.len < V2_FIXED || cursor_u16_be(&c) != s.len - V2_FIXED)
		return false;
	/* What a local connection's addresses say is to be passed over, and so is an unknown one's. */
	if (command == V2_LOCAL || (command == V2_PROXY && family == V2_UNSPECIFIED))
		return true;
	if (command != V2_PROXY || (family != V2_TCP4 && family != V2_TCP6))
		return false;
	af = family == V2_TCP4 ? AF_INET : AF_INET6;
	take_binary(&c, af, &h->client);
	take_binary(&c, af, &h->server);
	h->client.port = cursor_u16_be(&c);
	h->server.port = cursor_u16_be(&c);
	h->proxied = true;
	return !c.failed;
}

bool proxy_header_parse(struct slice s, struct proxy_header *h)
{
	bool ok;

	*h = (struct proxy_header){ 0 };
	if (s.len < FIRST || s.len > PROXY_HEADER_MAX)
		return false;
	ok = is_binary(s) ? parse_binary(s, h) : slice_starts(s, SLICE("PROXY ")) && parse_text(s, h);
	if (!ok)
		*h = (struct proxy_header){ 0 };
	return ok;
}
