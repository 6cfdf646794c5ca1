/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/mx.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/resolver_proto.h"

#define SMTP_PORT 25
#define HOSTS_MAX 100     /* MX records that are looked at */
#define LIST_MAX  200     /* addresses in all */

struct gathering {
	const struct smtp_lookup *lookup;
	struct smtp_target_list *list;
	bool secure_mx;            /* the hosts' names are signed, or not from DNS */
	bool temporary;            /* some host could not be looked up now */
	struct smtp_failure failure; /* of the last host that has no address */
};

static const char *why(enum dns_status status)
{
	switch (status) {
	case DNS_NXDOMAIN:
		return "Host not found";
	case DNS_NODATA:
		return "Host found but no data record of requested type";
	case DNS_BOGUS:
		return "Host not found, DNSSEC validation failed";
	case DNS_INVALID:
		return "Invalid host or domain name";
	default:
		return "Host not found, try again";
	}
}

static bool permanent(enum dns_status status)
{
	return status == DNS_NXDOMAIN || status == DNS_NODATA || status == DNS_INVALID;
}

static void not_found(const struct smtp_lookup *l, struct slice name, const char *type, enum dns_status status,
		      struct smtp_failure *failure)
{
	smtp_fail(failure, l->arena, permanent(status) ? "5.4.4" : "4.4.3",
		  "Host or domain name not found. Name service error for name=%.*s type=%s: %s", SLICE_FMT(name), type,
		  why(status));
}

/* An internationalized name in the form that DNS has. */
static bool to_ascii(const struct smtp_lookup *l, struct slice *name)
{
	char *ascii = NULL;
	bool plain = true;

	for (size_t i = 0; i < name->len; i++)
		plain = plain && !(name->ptr[i] & 0x80);
	if (plain)
		return true;
	if (idn2_to_ascii_8z(arena_cstr(l->arena, *name), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	*name = arena_slice(l->arena, slice_of(ascii));
	idn2_free(ascii);
	return true;
}

static bool is_self(const struct smtp_lookup *l, const struct smtp_target *t)
{
	const struct smtp_settings *s = l->settings;

	/* Another port is another server. */
	if (l->port != SMTP_PORT)
		return false;
	if (slice_eq_nocase(t->host, slice_of(s->myhostname)))
		return true;
	for (size_t i = 0; i < s->own_count; i++)
		if (slice_eq(t->text, slice_of(s->own[i])))
			return true;
	return false;
}

static bool add_record(struct gathering *g, struct slice host, const struct dns_answer *answer, size_t index)
{
	const struct dns_record *r = &answer->records[index];
	const struct smtp_lookup *l = g->lookup;
	struct smtp_target *t = &g->list->target[g->list->count];
	char text[INET6_ADDRSTRLEN];
	bool v4 = r->type == DNS_A;

	if (g->list->count >= LIST_MAX || r->data.len != (v4 ? 4u : 16u) ||
	    !inet_ntop(v4 ? AF_INET : AF_INET6, r->data.ptr, text, sizeof(text)) ||
	    !smtp_target_literal(slice_of(text), l->port, l->arena, t))
		return false;
	t->host = host;
	t->canonical = answer->canonical;
	t->secure_mx = g->secure_mx;
	t->secure_host = answer->secure;
	g->list->count++;
	return true;
}

static bool ipv6_first(const struct smtp_settings *s)
{
	if (s->preference == SMTP_PREFER_ANY)
		return random() & 1;
	return s->preference == SMTP_PREFER_IPV6;
}

/* Families take turns, so that a limit on addresses leaves some of each. */
static void add_answers(struct gathering *g, struct slice host, const struct dns_answer *first,
			const struct dns_answer *second)
{
	for (size_t i = 0; i < first->count || i < second->count; i++) {
		if (i < first->count && (first->records[i].type == DNS_A || first->records[i].type == DNS_AAAA))
			(void)add_record(g, host, first, i);
		if (i < second->count && (second->records[i].type == DNS_A || second->records[i].type == DNS_AAAA))
			(void)add_record(g, host, second, i);
	}
}

static void local_answers(const struct smtp_lookup *l, struct dns_answer *a, struct dns_answer *aaaa)
{
	static const struct in6_addr loopback6 = IN6ADDR_LOOPBACK_INIT;

	*a = (struct dns_answer){ .status = DNS_OK, .count = 1, .records = arena_alloc(l->arena, sizeof(struct dns_record)) };
	*aaaa = *a;
	aaaa->records = arena_alloc(l->arena, sizeof(struct dns_record));
	a->records->type = DNS_A;
	a->records->data = SLICE("\x7f\0\0\x01");
	aaaa->records->type = DNS_AAAA;
	aaaa->records->data = slice_make(&loopback6, sizeof(loopback6));
}

/* All addresses of one host, behind those that are there. */
static void add_host(struct gathering *g, struct slice host)
{
	const struct smtp_lookup *l = g->lookup;
	const struct smtp_settings *s = l->settings;
	struct dns_answer a = { .status = DNS_NODATA }, aaaa = { .status = DNS_NODATA };
	size_t before = g->list->count;
	struct slice name = host;
	bool bad = !to_ascii(l, &name);

	/* RFC 6761: this name is nobody else's. */
	if (slice_eq_nocase(name, SLICE("localhost")))
		local_answers(l, &a, &aaaa);
	else if (bad)
		a.status = DNS_INVALID;
	else if (s->ipv4)
		l->query(l->context, name, DNS_A, l->arena, &a);
	if (!bad && s->ipv6 && aaaa.status == DNS_NODATA && a.status != DNS_NXDOMAIN)
		l->query(l->context, name, DNS_AAAA, l->arena, &aaaa);
	a.count = a.status == DNS_OK && s->ipv4 ? a.count : 0;
	aaaa.count = aaaa.status == DNS_OK && s->ipv6 ? aaaa.count : 0;
	if (ipv6_first(s))
		add_answers(g, host, &aaaa, &a);
	else
		add_answers(g, host, &a, &aaaa);
	if (g->list->count > before)
		return;
	bool later = !permanent(a.status) && a.status != DNS_OK;
	enum dns_status status = later || a.status == DNS_NXDOMAIN || a.status == DNS_INVALID ? a.status : aaaa.status;

	if (status == DNS_OK)
		status = DNS_NODATA;
	if (!permanent(status))
		g->temporary = true;
	else if (g->temporary)
		return; /* what may change is the better reason */
	not_found(l, host, later || permanent(status) ? "A" : "AAAA", status, &g->failure);
}

static void list_start(const struct smtp_lookup *l, struct smtp_target_list *list)
{
	list->target = arena_alloc(l->arena, LIST_MAX * sizeof(*list->target) + sizeof(*list->target));
	list->count = 0;
}

bool smtp_mx_host(const struct smtp_lookup *l, struct slice host, struct smtp_target_list *list,
		      struct smtp_failure *failure)
{
	struct gathering g = { .lookup = l, .list = list, .secure_mx = true };

	list_start(l, list);
	add_host(&g, host);
	if (list->count == 0)
		*failure = g.failure;
	return list->count > 0;
}

/* By preference; equals in random order. */
static size_t order_hosts(const struct dns_answer *answer, const struct dns_record **order)
{
	size_t count = 0;

	for (size_t i = 0; i < answer->count && count < HOSTS_MAX; i++) {
		const struct dns_record *r = &answer->records[i];
		size_t at;

		if (r->type != DNS_MX)
			continue;
		/* a random place among all, then a stable sort by insertion */
		at = (size_t)random() % (count + 1);
		memmove(&order[at + 1], &order[at], (count - at) * sizeof(order[0]));
		order[at] = r;
		count++;
	}
	for (size_t i = 1; i < count; i++) {
		const struct dns_record *r = order[i];
		size_t at = i;

		for (; at > 0 && order[at - 1]->preference > r->preference; at--)
			order[at] = order[at - 1];
		order[at] = r;
	}
	return count;
}

/*
 * Takes the hosts in turn.  One that is ourselves ends the list, with all of
 * its preference (RFC 5321 section 5.1).  True: it was there.
 */
static bool add_hosts(struct gathering *g, const struct dns_record **order, size_t count)
{
	size_t limit = g->lookup->settings->address_limit;
	size_t class_start = 0;   /* addresses of better preference than the present */

	for (size_t i = 0; i < count; i++) {
		size_t before = g->list->count;

		if (i == 0 || order[i]->preference != order[i - 1]->preference) {
			if (limit > 0 && before >= limit)
				return false;
			class_start = before;
		}
		add_host(g, order[i]->name);
		for (size_t k = before; k < g->list->count; k++) {
			if (is_self(g->lookup, &g->list->target[k])) {
				g->list->count = class_start;
				return true;
			}
		}
	}
	return false;
}

bool smtp_mx_domain(const struct smtp_lookup *l, struct slice domain, struct smtp_target_list *list,
			struct smtp_failure *failure)
{
	const struct dns_record *order[HOSTS_MAX + 1];
	struct gathering g = { .lookup = l, .list = list };
	struct dns_answer mx = { .status = DNS_INVALID };
	struct slice name = domain;
	struct dns_record self = { .type = DNS_MX, .name = domain };
	size_t count = 1;

	list_start(l, list);
	if (slice_eq_nocase(name, SLICE("localhost")))
		mx.status = DNS_NODATA;
	else if (to_ascii(l, &name))
		l->query(l->context, name, DNS_MX, l->arena, &mx);
	/* Also where there is none: that there is none is signed then. */
	g.secure_mx = mx.secure;
	if (mx.status == DNS_OK)
		count = order_hosts(&mx, order);
	if (mx.status == DNS_NODATA || (mx.status == DNS_OK && count == 0)) {
		/* no MX: the domain is its own */
		order[0] = &self;
		count = 1;
	} else if (mx.status != DNS_OK) {
		not_found(l, domain, "MX", mx.status, failure);
		return false;
	} else if (count == 1 && (order[0]->name.len == 0 || slice_eq(order[0]->name, SLICE(".")))) {
		smtp_fail(failure, l->arena, "5.1.10", "Domain %.*s does not accept mail (nullMX)", SLICE_FMT(domain));
		return false;
	}
	if (add_hosts(&g, order, count) && list->count == 0) {
		smtp_fail(failure, l->arena, "5.4.6", "mail for %.*s loops back to myself", SLICE_FMT(domain));
		return false;
	}
	if (list->count == 0)
		*failure = g.failure;
	return list->count > 0;
}
