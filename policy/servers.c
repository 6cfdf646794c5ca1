/* SPDX-License-Identifier: ISC */
/*
 * check_*_mx_access, check_*_ns_access, check_*_a_access: what a table says of the servers of a
 * domain, by name and by address.
 */
#include <arpa/inet.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "policy/rules.h"

#define SERVERS_MAX 100              /* names, and addresses of each, that are looked at */

struct slice dns_address_text(struct arena *arena, const struct dns_record *record)
{
	char text[INET6_ADDRSTRLEN];
	int family = record->type == DNS_A ? AF_INET : AF_INET6;

	if ((record->type != DNS_A && record->type != DNS_AAAA) || !inet_ntop(family, record->data.ptr, text, sizeof(text)))
		return SLICE_NONE;
	return slice_of(arena_strdup(arena, text));
}

/* The domain whose servers are asked for; empty: there is none. */
static struct slice domain_in_question(struct inquiry *q, const struct about *about)
{
	struct slice local, domain = about->name;

	switch (about->subject) {
	case ABOUT_CLIENT:
		domain = slice_of(q->facts->client->name);
		break;
	case ABOUT_REVERSE_CLIENT:
		domain = slice_of(q->facts->client->reverse_name);
		break;
	case ABOUT_SENDER:
	case ABOUT_RECIPIENT:
		address_split(about->name, &local, &domain);
		break;
	default:
		break;
	}
	return slice_eq_nocase(domain, SLICE("unknown")) ? SLICE_NONE : domain;
}

static enum verdict check_addresses(struct inquiry *q, const struct rule *rule, struct slice host, const struct about *about)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };
	enum verdict verdict = VERDICT_DUNNO;
	struct dns_answer answer;

	for (size_t t = 0; t < 2; t++) {
		inquiry_dns(q, host, types[t], &answer);
		if (answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS)
			log_warning("Unable to look up %s of %.*s for %s: %s", dns_type_text(types[t]), SLICE_FMT(host),
				    about->kind, dns_status_text(answer.status));
		for (size_t i = 0; i < answer.count && i < SERVERS_MAX && verdict == VERDICT_DUNNO; i++)
			verdict = access_address(q, rule, dns_address_text(q->arena, &answer.records[i]), about);
	}
	return verdict;
}

static enum verdict check_server(struct inquiry *q, const struct rule *rule, struct slice host, const struct about *about)
{
	enum verdict verdict = access_domain(q, rule, host, about);

	return verdict == VERDICT_DUNNO ? check_addresses(q, rule, host, about) : verdict;
}

/* "[192.0.2.1]": the address itself. */
static enum verdict check_literal(struct inquiry *q, const struct rule *rule, struct slice literal, const struct about *about)
{
	struct slice address = slice_sub(literal, 1, literal.len > 2 ? literal.len - 2 : 0);

	if (slice_starts_nocase(address, SLICE("IPv6:")))
		address = slice_sub(address, 5, address.len);
	return address.len ? access_address(q, rule, address, about) : VERDICT_DUNNO;
}

/* Name servers are those of the zone around a name that has none. */
static void find_servers(struct inquiry *q, struct slice domain, enum dns_type type, struct dns_answer *answer)
{
	struct slice head;

	inquiry_dns(q, domain, type, answer);
	while (type == DNS_NS && (answer->status == DNS_NODATA || answer->status == DNS_NXDOMAIN) &&
	       slice_cut(&domain, '.', &head) && slice_find(domain, '.') > 0)
		inquiry_dns(q, domain, type, answer);
}

enum verdict rule_server_access(struct inquiry *q, const struct rule *rule)
{
	enum dns_type type = (enum dns_type)rule->type->detail;
	enum verdict verdict = VERDICT_DUNNO;
	struct dns_answer answer;
	struct about about;
	struct slice domain;

	if (!inquiry_about(q, rule->type->subject, &about))
		return VERDICT_DUNNO;
	domain = domain_in_question(q, &about);
	if (domain.len == 0)
		return VERDICT_DUNNO;
	if (domain.ptr[0] == '[')
		return type == DNS_NS ? VERDICT_DUNNO : check_literal(q, rule, domain, &about);
	if (type == DNS_A)
		return check_addresses(q, rule, domain, &about);
	find_servers(q, domain, type, &answer);
	if (type == DNS_MX && answer.status == DNS_NODATA)
		return check_server(q, rule, domain, &about); /* the host itself takes the mail */
	if (answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS)
		log_warning("Unable to look up %s host for %.*s: %s", dns_type_text(type), SLICE_FMT(domain),
			    dns_status_text(answer.status));
	for (size_t i = 0; i < answer.count && i < SERVERS_MAX && verdict == VERDICT_DUNNO; i++)
		if (answer.records[i].type == type)
			verdict = check_server(q, rule, answer.records[i].name, &about);
	return verdict;
}
