/* SPDX-License-Identifier: ISC */
/* DNS lists of addresses (reject_rbl_client) and of domains (reject_rhsbl_*), RFC 5782. */
#include <arpa/inet.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/mail/address.h"
#include "policy/rules.h"
#include "policy/template.h"

#define TEXT_MAX 400

/* --- zone=filter --- */

/* One octet of a filter off the front: "2", or "[4;10..11]". */
static bool take_pattern(struct slice *rest, struct slice *pattern)
{
	ptrdiff_t end = rest->len > 0 && rest->ptr[0] == '[' ? slice_find(*rest, ']') + 1 : slice_find(*rest, '.');

	if (end == 0)
		return false; /* "[" without "]" */
	if (end < 0)
		end = (ptrdiff_t)rest->len;
	*pattern = slice_sub(*rest, 0, (size_t)end);
	*rest = slice_sub(*rest, (size_t)end, rest->len);
	if (rest->len > 0 && rest->ptr[0] == '.')
		*rest = slice_sub(*rest, 1, rest->len);
	else if (rest->len > 0)
		return false;
	return pattern->len > 0;
}

static bool take_octet(struct slice text, uint64_t *value)
{
	return slice_to_u64(text, value) && *value <= 255;
}

/* "4" or "10..11" */
static bool take_range(struct slice text, uint64_t *from, uint64_t *to)
{
	ptrdiff_t dots = slice_find(text, '.');

	if (dots < 0)
		return take_octet(text, from) && take_octet(text, to);
	return take_octet(slice_sub(text, 0, (size_t)dots), from) && (size_t)dots + 1 < text.len &&
	       text.ptr[dots + 1] == '.' && take_octet(slice_sub(text, (size_t)dots + 2, text.len), to) && *from <= *to;
}

/* -1: malformed. */
static int pattern_matches(struct slice pattern, unsigned octet)
{
	struct slice rest = pattern, part;
	uint64_t from, to;
	int matches = 0;
	bool more = true;

	if (pattern.ptr[0] == '[')
		rest = slice_sub(pattern, 1, pattern.len - 2);
	while (more) {
		more = slice_cut(&rest, ';', &part);
		if (!take_range(part, &from, &to))
			return -1;
		if (octet >= from && octet <= to)
			matches = 1;
	}
	return matches;
}

bool dnsbl_parse(struct slice text, struct arena *arena, struct dnsbl_zone *zone, struct err *err)
{
	struct slice rest = text, filter;

	*zone = (struct dnsbl_zone){ .whole = arena_slice(arena, text) };
	rest = zone->whole;
	zone->patterns = arena_alloc(arena, 4 * sizeof(struct slice));
	if (!slice_cut(&rest, '=', &zone->domain)) {
		zone->domain = zone->whole;
		rest = SLICE_NONE;
	}
	zone->filter = filter = rest;
	if (!address_valid_hostname(zone->domain))
		return err_set(err, ERR_SYNTAX, "\"%.*s\" is not a domain", SLICE_FMT(slice_sub(zone->domain, 0, 100)));
	while (filter.len > 0 && zone->pattern_count < 4)
		if (!take_pattern(&filter, &zone->patterns[zone->pattern_count]) ||
		    pattern_matches(zone->patterns[zone->pattern_count++], 0) < 0)
			break;
	if (zone->filter.len > 0 && (filter.len > 0 || zone->pattern_count != 4 || pattern_matches(zone->patterns[3], 0) < 0))
		return err_set(err, ERR_SYNTAX, "filter \"%.*s\" is not of the form d.d.d.d, where d is a number or "
			       "[n;n..n]", SLICE_FMT(slice_sub(zone->filter, 0, 100)));
	return true;
}

bool dnsbl_filter_matches(const struct dnsbl_zone *zone, const unsigned char octets[4])
{
	for (size_t i = 0; i < zone->pattern_count; i++)
		if (pattern_matches(zone->patterns[i], octets[i]) != 1)
			return false;
	return true;
}

/* --- asking --- */

struct slice dnsbl_reversed(struct arena *arena, const char *address)
{
	unsigned char bytes[16];
	char text[80];
	size_t len = 0;

	if (inet_pton(AF_INET, address, bytes) == 1)
		return slice_of(arena_printf(arena, "%d.%d.%d.%d", bytes[3], bytes[2], bytes[1], bytes[0]));
	if (inet_pton(AF_INET6, address, bytes) != 1)
		return SLICE_NONE;
	for (int i = 15; i >= 0; i--)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%x.%x%s", bytes[i] & 15, bytes[i] >> 4, i ? "." : "");
	return arena_slice(arena, slice_make(text, len));
}

/* What is looked up in front of the zone; empty: nothing can be. */
static struct slice subject_of(struct inquiry *q, const struct rule *rule, const struct about *about)
{
	struct slice local, domain = about->name;

	if (rule->type->detail == DNS_A)
		return dnsbl_reversed(q->arena, q->facts->client->address);
	if (about->subject == ABOUT_CLIENT)
		domain = slice_of(q->facts->client->name);
	else if (about->subject == ABOUT_REVERSE_CLIENT)
		domain = slice_of(q->facts->client->reverse_name);
	else if (about->subject == ABOUT_SENDER || about->subject == ABOUT_RECIPIENT)
		address_split(about->name, &local, &domain);
	if (domain.len == 0 || domain.ptr[0] == '[' || slice_eq_nocase(domain, SLICE("unknown")) ||
	    !address_valid_hostname(domain) || slice_find(domain, '.') < 0)
		return SLICE_NONE;
	return domain;
}

/* Is it listed?  *name: what was asked for. */
static enum dns_status ask(struct inquiry *q, const struct rule *rule, const struct about *about, struct slice *name)
{
	struct slice subject = subject_of(q, rule, about);
	struct dns_answer answer;

	if (subject.len == 0)
		return DNS_NXDOMAIN;
	*name = slice_of(arena_printf(q->arena, "%.*s.%.*s", SLICE_FMT(subject), SLICE_FMT(rule->zone->domain)));
	inquiry_dns(q, *name, DNS_A, &answer);
	if (answer.status != DNS_OK)
		return answer.status;
	for (size_t i = 0; i < answer.count; i++)
		if (answer.records[i].type == DNS_A &&
		    dnsbl_filter_matches(rule->zone, (const unsigned char *)answer.records[i].data.ptr))
			return DNS_OK;
	return DNS_NXDOMAIN;
}

/* --- what is answered --- */

static const char *reason(struct inquiry *q, struct slice name)
{
	struct dns_answer answer;

	inquiry_dns(q, name, DNS_TXT, &answer);
	if (answer.status != DNS_OK || answer.count == 0)
		return "";
	return arena_cstr(q->arena, slice_sub(answer.records[0].data, 0, TEXT_MAX));
}

static const char *find_template(struct inquiry *q, const struct dnsbl_zone *zone)
{
	struct slice value;
	struct err err;
	enum table_result found = table_list_lookup(q->policy->dnsbl_replies, zone->whole, q->arena, &value, &err);

	if (found == TABLE_NOT_FOUND && zone->filter.len)
		found = table_list_lookup(q->policy->dnsbl_replies, zone->domain, q->arena, &value, &err);
	if (found == TABLE_ERROR)
		log_warning("rbl_reply_maps: %s", err.text);
	return found == TABLE_FOUND ? arena_cstr(q->arena, value) : q->policy->dnsbl_reply;
}

static enum verdict listed(struct inquiry *q, const struct rule *rule, const struct about *about, struct slice name)
{
	char code[16];
	bool address = about->subject == ABOUT_SENDER || about->subject == ABOUT_RECIPIENT;
	struct slice what = rule->type->detail == DNS_A ? slice_of(q->facts->client->address)
			  : address ? about->name : subject_of(q, rule, about);
	const struct template_extra extra[] = {
		{ "rbl_code", code }, { "rbl_class", about->kind }, { "rbl_what", arena_cstr(q->arena, what) },
		{ "rbl_domain", arena_cstr(q->arena, rule->zone->domain) }, { "rbl_reason", reason(q, name) },
		{ "rbl_txt", reason(q, name) }, { NULL, NULL },
	};
	struct str text = { 0 };
	struct slice rest;
	enum verdict verdict;
	struct err err;
	char dsn[16];
	int given;

	snprintf(code, sizeof(code), "%d", q->policy->codes.dnsbl);
	if (!template_expand(&text, find_template(q, rule->zone), q->facts, config_text(q->policy->config, "myhostname"), extra,
			     &err)) {
		str_free(&text);
		return configuration_error(q, "reply for %.*s: %s", SLICE_FMT(rule->zone->domain), err.text);
	}
	rest = slice_trim(str_slice(&text));
	given = reply_split_code(&rest);
	if (!given)
		log_warning("reply for %.*s does not begin with 4NN or 5NN", SLICE_FMT(rule->zone->domain));
	rest = reply_split_dsn(rest, given ? given : q->policy->codes.dnsbl, "5.7.1", dsn);
	verdict = refuse(q, given ? given : q->policy->codes.dnsbl, dsn, "%.*s", SLICE_FMT(rest));
	str_free(&text);
	return verdict;
}

enum verdict rule_dnsbl(struct inquiry *q, const struct rule *rule)
{
	struct slice name = SLICE_NONE;
	struct about about;

	if (!inquiry_about(q, rule->type->subject, &about))
		return VERDICT_DUNNO;
	switch (ask(q, rule, &about, &name)) {
	case DNS_OK:
		return listed(q, rule, &about, name);
	case DNS_TEMPORARY:
	case DNS_BOGUS:
		log_warning("%.*s: RBL lookup error: no answer", SLICE_FMT(name));
		break;
	default:
		break;
	}
	return VERDICT_DUNNO;
}

enum verdict rule_dnswl(struct inquiry *q, const struct rule *rule)
{
	struct slice name = SLICE_NONE;
	struct about about;

	if (!inquiry_about(q, rule->type->subject, &about))
		return VERDICT_DUNNO;
	switch (ask(q, rule, &about, &name)) {
	case DNS_OK:
		return VERDICT_PERMIT;
	case DNS_TEMPORARY:
	case DNS_BOGUS:
		log_warning("%.*s: DNSWL lookup error: no answer", SLICE_FMT(name));
		return defer_if_reject(q, 450, "4.7.1", "<%.*s>: %s rejected: DNS list %.*s cannot be asked now",
				       SLICE_FMT(slice_sub(about.name, 0, 256)), about.kind, SLICE_FMT(rule->zone->domain));
	default:
		return VERDICT_DUNNO;
	}
}
