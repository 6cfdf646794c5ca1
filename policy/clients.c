/* SPDX-License-Identifier: ISC */
/* Restrictions on who the client is, and on the name it gives in HELO. */
#include "common/mail/address.h"
#include "common/tls/info.h"
#include "policy/rules.h"

/* --- the client --- */

static enum verdict permit_if(struct inquiry *q, int inside, const struct err *err)
{
	if (inside < 0)
		return lookup_failed(q, slice_of(q->facts->client->address), err);
	return inside ? VERDICT_PERMIT : VERDICT_DUNNO;
}

enum verdict rule_mynetworks(struct inquiry *q, const struct rule *rule)
{
	const struct policy_client *client = q->facts->client;
	struct err err;

	return permit_if(q, router_is_mynetworks(q->policy->router, slice_of(client->name), slice_of(client->address), &err),
			 &err);
}

/* Whatever the table says of the address. */
enum verdict rule_address_map(struct inquiry *q, const struct rule *rule)
{
	struct table_question question = { .key = slice_of(q->facts->client->address) };
	struct err err;

	return permit_if(q, table_list_ask(rule->table, &question, q->arena, &err), &err);
}

enum verdict rule_inet_interfaces(struct inquiry *q, const struct rule *rule)
{
	struct err err;

	return permit_if(q, router_is_own_address(q->policy->router, slice_of(q->facts->client->address), &err), &err);
}

enum verdict rule_logged_in(struct inquiry *q, const struct rule *rule)
{
	return q->facts->login.len > 0 ? VERDICT_PERMIT : VERDICT_DUNNO;
}

enum verdict rule_client_certificate(struct inquiry *q, const struct rule *rule)
{
	const struct tls_info *tls = q->facts->tls;
	const char *keys[2];
	struct slice value;
	struct err err;

	if (!tls || !tls->has_peer)
		return VERDICT_DUNNO;
	if (rule->type->detail == CERTIFICATE_TRUSTED)
		return tls->trusted ? VERDICT_PERMIT : VERDICT_DUNNO;
	keys[0] = tls->certificate_fingerprint;
	keys[1] = tls->key_fingerprint;
	for (size_t i = 0; i < 2; i++) {
		enum table_result found = table_list_lookup(q->policy->client_certificates, slice_of(keys[i]), q->arena, &value,
							    &err);

		if (found != TABLE_NOT_FOUND)
			return permit_if(q, found, &err);
	}
	return VERDICT_DUNNO;
}

static enum verdict unknown_name(struct inquiry *q, enum policy_name_status status, const char *dsn, const char *what)
{
	int code = status == POLICY_NAME_TEMPORARY ? 450 : q->policy->codes.unknown_client;

	return refuse(q, code, dsn, "Client host rejected: cannot find your %shostname, [%s]", what,
		      q->facts->client->address);
}

enum verdict rule_unknown_client(struct inquiry *q, const struct rule *rule)
{
	const struct policy_client *c = q->facts->client;

	switch (rule->type->detail) {
	case NAME_REVERSE:
		return c->reverse_status == POLICY_NAME_KNOWN ? VERDICT_DUNNO : unknown_name(q, c->reverse_status, "4.7.1", "reverse ");
	case NAME_FORWARD: /* there is a PTR, and it lies */
		if (c->reverse_status != POLICY_NAME_KNOWN || c->name_status == POLICY_NAME_KNOWN)
			return VERDICT_DUNNO;
		return unknown_name(q, c->name_status, "4.7.25", "");
	default:
		return c->name_status == POLICY_NAME_KNOWN ? VERDICT_DUNNO : unknown_name(q, c->name_status, "4.7.25", "");
	}
}

/* --- HELO --- */

static enum verdict literal_form(struct inquiry *q, const struct about *about)
{
	if (address_valid_literal(about->name))
		return VERDICT_DUNNO;
	return refuse_about(q, about, q->policy->codes.invalid_helo, "5.5.2", "invalid ip address");
}

static bool is_number(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((name.ptr[i] < '0' || name.ptr[i] > '9') && name.ptr[i] != '.')
			return false;
	return true;
}

/* One dot at the end may be: the root. */
static struct slice without_root(struct slice name)
{
	return name.len > 1 && name.ptr[name.len - 1] == '.' ? slice_sub(name, 0, name.len - 1) : name;
}

enum verdict rule_helo_form(struct inquiry *q, const struct rule *rule)
{
	struct about about;
	struct slice name;

	if (!inquiry_about(q, ABOUT_HELO, &about))
		return VERDICT_DUNNO;
	if (about.name.ptr[0] == '[')
		return literal_form(q, &about);
	name = without_root(about.name);
	if (rule->type->detail == HELO_VALID) {
		if (address_valid_hostname(name))
			return VERDICT_DUNNO;
		return refuse_about(q, &about, q->policy->codes.invalid_helo, "5.5.2", "Invalid name");
	}
	if (address_valid_hostname(name) && slice_find(name, '.') > 0 && !is_number(name))
		return VERDICT_DUNNO;
	return refuse_about(q, &about, q->policy->codes.non_fqdn, "5.5.2", "need fully-qualified hostname");
}

enum verdict rule_unknown_helo(struct inquiry *q, const struct rule *rule)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX };
	struct dns_answer answer;
	struct about about;
	bool temporary = false;

	if (!inquiry_about(q, ABOUT_HELO, &about))
		return VERDICT_DUNNO;
	if (about.name.ptr[0] == '[')
		return literal_form(q, &about);
	for (size_t i = 0; i < 3; i++) {
		inquiry_dns(q, about.name, types[i], &answer);
		if (answer.status == DNS_OK)
			return VERDICT_DUNNO;
		temporary |= answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS;
	}
	if (!temporary)
		return refuse_about(q, &about, q->policy->codes.unknown_helo, "4.7.1", "Host not found");
	if (q->policy->helo_defers_if_permit)
		return defer_if_permit(q, 450, "4.7.1", "<%.*s>: Helo command rejected: Host not found",
				       SLICE_FMT(slice_sub(about.name, 0, 256)));
	return refuse_about(q, &about, 450, "4.7.1", "Host not found");
}
