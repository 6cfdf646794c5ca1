/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "routing/networks.h"

enum style { STYLE_HOST, STYLE_SUBNET, STYLE_CLASS };

static unsigned count_bits(const uint8_t *mask, size_t len)
{
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	return bits;
}

static unsigned class_bits(uint8_t first)
{
	return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

static void append_network(struct str *out, const struct ifaddrs *i, enum style style)
{
	bool v6 = i->ifa_addr->sa_family == AF_INET6;
	size_t len = v6 ? 16 : 4;
	uint8_t address[16], mask[16];
	char text[INET6_ADDRSTRLEN];
	unsigned bits = (unsigned)len * 8;

	if (v6)
		memcpy(address, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, 16);
	else
		memcpy(address, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
	if (style == STYLE_SUBNET && i->ifa_netmask) {
		if (v6)
			memcpy(mask, &((const struct sockaddr_in6 *)(const void *)i->ifa_netmask)->sin6_addr, 16);
		else
			memcpy(mask, &((const struct sockaddr_in *)(const void *)i->ifa_netmask)->sin_addr, 4);
		bits = count_bits(mask, len);
	} else if (style == STYLE_CLASS && !v6) {
		bits = class_bits(address[0]);
	}
	for (unsigned bit = bits; bit < len * 8; bit++)
		address[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
	inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text));
	str_printf(out, v6 ? "[%s]/%u " : "%s/%u ", text, bits);
}

bool networks_of_style(const char *style_name, struct str *out, struct err *err)
{
	struct ifaddrs *all;
	enum style style = STYLE_HOST;

	if (strcmp(style_name, "subnet") == 0)
		style = STYLE_SUBNET;
	else if (strcmp(style_name, "class") == 0)
		style = STYLE_CLASS;
	else if (strcmp(style_name, "host") != 0)
		return err_set(err, ERR_SYNTAX, "mynetworks_style: \"%s\" is none of host, subnet, class",
			       style_name);
	if (getifaddrs(&all) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "getifaddrs");
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		if (i->ifa_addr && (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			append_network(out, i, style);
	freeifaddrs(all);
	return true;
}

static bool append_all(struct str *out, struct err *err)
{
	struct ifaddrs *all;
	char text[INET6_ADDRSTRLEN];

	if (getifaddrs(&all) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "getifaddrs");
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		const void *at = NULL;

		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
			at = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6)
			at = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
		if (at && inet_ntop(i->ifa_addr->sa_family, at, text, sizeof(text)))
			str_printf(out, "%s ", text);
	}
	freeifaddrs(all);
	return true;
}

/* A host name, or an address with or without brackets. */
static bool append_name(struct slice name, struct str *out, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
	char host[256], text[INET6_ADDRSTRLEN];
	int code;

	if (name.len > 2 && name.ptr[0] == '[')
		name = slice_sub(name, 1, name.len - 2);
	snprintf(host, sizeof(host), "%.*s", SLICE_FMT(name));
	code = getaddrinfo(host, NULL, &hints, &all);
	if (code != 0)
		return err_set(err, ERR_TEMPORARY, "%s: %s", host, gai_strerror(code));
	for (const struct addrinfo *a = all; a; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0)
			str_printf(out, "%s ", text);
	freeaddrinfo(all);
	return true;
}

bool networks_of_interfaces(const char *interfaces, struct str *out, struct err *err)
{
	struct slice rest = slice_of(interfaces), word;
	bool ok = true;

	while (ok && slice_word(&rest, ", \t\r\n", &word)) {
		if (slice_eq_nocase(word, SLICE("all")))
			ok = append_all(out, err);
		else if (slice_eq_nocase(word, SLICE("loopback-only")))
			str_append_text(out, "127.0.0.1 ::1 ");
		else
			ok = append_name(word, out, err);
	}
	return ok;
}
