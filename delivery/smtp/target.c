/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "common/base/str.h"
#include "common/base/task.h"
#include "common/proto/resolver_proto.h"
#include "delivery/smtp/mx.h"

#define LOOKUP_TIME 60.0   /* a question; the resolver itself gives up earlier */

void smtp_fail(struct smtp_failure *failure, struct arena *arena, const char *dsn, const char *format, ...)
{
	struct str text = { 0 };
	va_list ap;
	size_t n = strlen(dsn);

	*failure = (struct smtp_failure){ .permanent = dsn[0] == '5' };
	memcpy(failure->dsn, dsn, n < sizeof(failure->dsn) ? n : sizeof(failure->dsn) - 1);
	va_start(ap, format);
	str_vprintf(&text, format, ap);
	va_end(ap);
	failure->text = arena_slice(arena, str_slice(&text));
	str_free(&text);
}

static bool parse_port(struct slice text, unsigned *port)
{
	uint64_t value;

	if (slice_eq_nocase(text, SLICE("smtp")))
		value = 25;
	else if (slice_eq_nocase(text, SLICE("submission")))
		value = 587;
	else if (slice_eq_nocase(text, SLICE("lmtp")))
		value = 24;
	else if (!slice_to_u64(text, &value) || value < 1 || value > 65535)
		return false;
	*port = (unsigned)value;
	return true;
}

bool smtp_nexthop_parse(struct slice text, const struct smtp_settings *settings, struct smtp_nexthop *n)
{
	ptrdiff_t at;

	*n = (struct smtp_nexthop){ .kind = SMTP_NEXTHOP_DOMAIN, .port = settings->tcp_port };
	if (slice_starts(text, SLICE("unix:"))) {
		n->kind = SMTP_NEXTHOP_UNIX;
		n->name = slice_sub(text, 5, text.len);
		return n->name.len > 0 && n->name.len < sizeof(((struct sockaddr_un *)0)->sun_path);
	}
	if (slice_starts(text, SLICE("inet:"))) {
		text = slice_sub(text, 5, text.len);
		n->kind = SMTP_NEXTHOP_HOST;
	} else if (settings->lmtp || settings->no_mx) {
		n->kind = SMTP_NEXTHOP_HOST; /* LMTP has no MX */
	}
	n->name = text;
	if (text.len > 0 && text.ptr[0] == '[') {
		ptrdiff_t close = slice_find(text, ']');

		if (close < 2)
			return false;
		n->kind = SMTP_NEXTHOP_HOST;
		n->name = slice_sub(text, 1, (size_t)close - 1);
		text = slice_sub(text, (size_t)close + 1, text.len);
		if (text.len == 0)
			return true;
		return text.ptr[0] == ':' && parse_port(slice_sub(text, 1, text.len), &n->port);
	}
	at = slice_rfind(text, ':');
	/* more than one colon: a bare IPv6 address */
	if (at >= 0 && slice_find(text, ':') == at) {
		n->name = slice_sub(text, 0, (size_t)at);
		if (!parse_port(slice_sub(text, (size_t)at + 1, text.len), &n->port))
			return false;
	}
	return n->name.len > 0;
}

bool smtp_target_literal(struct slice text, unsigned port, struct arena *arena, struct smtp_target *t)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->address;
	char buf[INET6_ADDRSTRLEN] = { 0 };

	if (slice_starts_nocase(text, SLICE("ipv6:")))
		text = slice_sub(text, 5, text.len);
	if (text.len == 0 || text.len >= sizeof(buf))
		return false;
	memcpy(buf, text.ptr, text.len);
	*t = (struct smtp_target){ .port = port };
	if (inet_pton(AF_INET, buf, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		t->address_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, buf, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		t->address_len = sizeof(*v6);
	} else {
		return false;
	}
	t->text = arena_slice(arena, slice_of(buf));
	t->host = t->text;
	return true;
}

static bool find_unix(const struct smtp_nexthop *n, const struct smtp_settings *settings, struct arena *arena,
		      struct smtp_target_list *list)
{
	struct smtp_target *t = arena_alloc(arena, sizeof(*t));
	struct sockaddr_un *un = (struct sockaddr_un *)&t->address;

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, n->name.ptr, n->name.len);
	t->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n->name.len + 1);
	t->host = slice_of(settings->myhostname);
	t->text = n->name;
	*list = (struct smtp_target_list){ t, 1 };
	return true;
}

void smtp_ask_resolver(void *client, struct slice name, int type, struct arena *arena, struct dns_answer *answer)
{
	resolver_query(client, name, (enum dns_type)type, loop_now() + LOOKUP_TIME, arena, answer);
}

bool smtp_targets_find(struct smtp_lookup *lookup, struct slice nexthop, struct smtp_target_list *list,
		       struct smtp_failure *failure)
{
	const struct smtp_settings *settings = lookup->settings;
	struct arena *arena = lookup->arena;
	struct smtp_nexthop n;
	struct smtp_target *literal;

	*list = (struct smtp_target_list){ 0 };
	if (!smtp_nexthop_parse(nexthop, settings, &n)) {
		smtp_fail(failure, arena, "4.3.5", "malformed next hop: %.*s", SLICE_FMT(nexthop));
		return false;
	}
	if (n.kind == SMTP_NEXTHOP_UNIX)
		return find_unix(&n, settings, arena, list);
	literal = arena_alloc(arena, sizeof(*literal));
	if (smtp_target_literal(n.name, n.port, arena, literal)) {
		*list = (struct smtp_target_list){ literal, 1 };
		return true;
	}
	lookup->port = n.port;
	if (n.kind == SMTP_NEXTHOP_HOST)
		return smtp_mx_host(lookup, arena_slice(arena, n.name), list, failure);
	return smtp_mx_domain(lookup, arena_slice(arena, n.name), list, failure);
}
