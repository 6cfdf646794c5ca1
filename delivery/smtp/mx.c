/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/mx.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/task.h"

#define DNS_TIMEOUT 60
#define HOSTS_MAX   100
#define TARGETS_MAX 200
#define SMTP_PORT   25

struct search {
	struct ipc_client *resolver;
	const struct smtp_nexthop *nexthop;
	const struct smtp_settings *settings;
	struct arena *arena;
	struct smtp_target_list *list;
	bool temporary;  /* some lookup may go better later */
};

static void query(const struct search *s, struct slice name, enum dns_type type, struct dns_answer *answer)
{
	resolver_query(s->resolver, name, type, loop_now() + DNS_TIMEOUT, s->arena, answer);
}

/* --- addresses of a host --- */

static void add_addresses(struct search *s, struct slice host, enum dns_type type)
{
	struct dns_answer answer;

	query(s, host, type, &answer);
	s->temporary |= answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS;
	for (size_t i = 0; i < answer.count && s->list->count < TARGETS_MAX; i++) {
		char text[INET6_ADDRSTRLEN];

		if (inet_ntop(type == DNS_A ? AF_INET : AF_INET6, answer.records[i].data.ptr, text, sizeof(text)) &&
		    smtp_target_literal(slice_of(text), s->nexthop->port, s->arena,
					&s->list->target[s->list->count]))
			s->list->target[s->list->count++].host = arena_slice(s->arena, host);
	}
}

static void add_host(struct search *s, struct slice host)
{
	bool six_first = s->settings->preference == SMTP_PREFER_IPV6 ||
			 (s->settings->preference == SMTP_PREFER_ANY && random() % 2);

	if (s->settings->ipv6 && six_first)
		add_addresses(s, host, DNS_AAAA);
	if (s->settings->ipv4)
		add_addresses(s, host, DNS_A);
	if (s->settings->ipv6 && !six_first)
		add_addresses(s, host, DNS_AAAA);
}

/* --- the order of exchangers --- */

/* Equals at random: shuffled first, then sorted by a sort that keeps the order of equals. */
static void order_exchangers(struct dns_record *mx, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = (size_t)random() % i;
		struct dns_record kept = mx[i - 1];

		mx[i - 1] = mx[other];
		mx[other] = kept;
	}
	for (size_t i = 1; i < count; i++) {
		struct dns_record moved = mx[i];
		size_t at = i;

		for (; at > 0 && mx[at - 1].preference > moved.preference; at--)
			mx[at] = mx[at - 1];
		mx[at] = moved;
	}
}

/* Ours by name, or an address that leads back here.  Only on port 25: elsewhere others listen. */
static bool is_ourselves(const struct search *s, struct slice host, size_t first)
{
	if (s->nexthop->port != SMTP_PORT || s->settings->lmtp)
		return false;
	if (slice_eq_nocase(host, slice_of(s->settings->myhostname)))
		return true;
	for (size_t i = first; i < s->list->count; i++) {
		struct slice text = s->list->target[i].text;

		if (slice_starts(text, SLICE("127.")) || slice_eq(text, SLICE("0.0.0.0")) ||
		    slice_eq(text, SLICE("::1")) || slice_eq(text, SLICE("::")) ||
		    slice_starts(text, SLICE("::ffff:127.")))
			return true;
	}
	return false;
}

/* False: we are the best exchanger ourselves. */
static bool add_exchangers(struct search *s, struct dns_record *mx, size_t count)
{
	for (size_t i = 0; i < count && i < HOSTS_MAX; i++) {
		size_t first = s->list->count;

		add_host(s, mx[i].name);
		if (!is_ourselves(s, mx[i].name, first))
			continue;
		/* At our preference and beyond, mail would go in circles. */
		while (s->list->count > 0) {
			struct slice host = s->list->target[s->list->count - 1].host;
			size_t which = 0;

			while (which < count && !slice_eq_nocase(mx[which].name, host))
				which++;
			if (which < count && mx[which].preference < mx[i].preference)
				break;
			s->list->count--;
		}
		return s->list->count > 0;
	}
	return true;
}

/* --- failures --- */

static bool no_name(struct search *s, const char *dsn, const char *type, const char *why, struct smtp_failure *failure)
{
	smtp_fail(failure, s->arena, dsn, "Host or domain name not found. Name service error for name=%.*s type=%s: %s",
		  SLICE_FMT(s->nexthop->name), type, why);
	return false;
}

static bool find_exchangers(struct search *s, struct smtp_failure *failure)
{
	struct dns_answer answer;

	query(s, s->nexthop->name, DNS_MX, &answer);
	switch (answer.status) {
	case DNS_OK:
		break;
	case DNS_NODATA: /* the domain is its own exchanger */
		add_host(s, s->nexthop->name);
		return true;
	case DNS_NXDOMAIN:
	case DNS_INVALID:
		return no_name(s, "5.4.4", "MX", "Host not found", failure);
	case DNS_TEMPORARY:
	case DNS_BOGUS:
		return no_name(s, "4.4.3", "MX", dns_status_text(answer.status), failure);
	}
	if (answer.count == 1 && slice_eq(answer.records[0].name, SLICE("."))) {
		smtp_fail(failure, s->arena, "5.1.10", "Domain %.*s does not accept mail (nullMX)",
			  SLICE_FMT(s->nexthop->name));
		return false;
	}
	order_exchangers(answer.records, answer.count);
	if (add_exchangers(s, answer.records, answer.count))
		return true;
	smtp_fail(failure, s->arena, "5.4.6", "mail for %.*s loops back to myself", SLICE_FMT(s->nexthop->name));
	return false;
}

bool smtp_mx_find(struct ipc_client *resolver, const struct smtp_nexthop *nexthop,
		  const struct smtp_settings *settings, struct arena *arena, struct smtp_target_list *list,
		  struct smtp_failure *failure)
{
	struct search s = { resolver, nexthop, settings, arena, list, false };

	list->target = arena_alloc(arena, TARGETS_MAX * sizeof(*list->target));
	list->count = 0;
	if (nexthop->kind == SMTP_NEXTHOP_DOMAIN) {
		if (!find_exchangers(&s, failure))
			return false;
	} else {
		add_host(&s, nexthop->name);
	}
	if (list->count == 0)
		return no_name(&s, s.temporary ? "4.4.3" : "5.4.4", "A",
			       s.temporary ? "Host not found, try again" : "Host not found", failure);
	if (settings->address_limit && list->count > settings->address_limit)
		list->count = settings->address_limit;
	return true;
}
