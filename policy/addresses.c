/* SPDX-License-Identifier: ISC */
/* Restrictions on sender and recipient: their form, their domain, whether they exist, whose they are. */
#include "common/mail/address.h"
#include "common/proto/verify_proto.h"
#include "policy/rules.h"

#define SOME(s) SLICE_FMT(slice_sub((s), 0, 256))

static struct slice domain_of(struct slice address)
{
	struct slice local, domain;

	address_split(address, &local, &domain);
	return domain;
}

static const struct route *route_of(struct inquiry *q, enum subject subject, enum verdict *verdict)
{
	return subject == ABOUT_SENDER ? inquiry_sender_route(q, verdict) : inquiry_recipient_route(q, verdict);
}

/* --- form and domain --- */

enum verdict rule_non_fqdn(struct inquiry *q, const struct rule *rule)
{
	struct about about;
	struct slice domain;

	if (!inquiry_about(q, rule->type->subject, &about) || about.name.len == 0)
		return VERDICT_DUNNO;
	domain = domain_of(about.name);
	if ((domain.len > 0 && domain.ptr[0] == '[') || slice_find(domain, '.') > 0)
		return VERDICT_DUNNO;
	/* RFC 5321 §4.5.1: without a domain, too. */
	if (about.subject == ABOUT_RECIPIENT && slice_eq_nocase(about.name, SLICE("postmaster")))
		return VERDICT_DUNNO;
	return refuse_about(q, &about, q->policy->codes.non_fqdn, "5.5.2", "need fully-qualified address");
}

static bool has_null_mx(const struct dns_answer *mx)
{
	return mx->count == 1 && (mx->records[0].name.len == 0 || slice_eq(mx->records[0].name, SLICE(".")));
}

static enum verdict domain_in_doubt(struct inquiry *q, const struct about *about, const char *dsn)
{
	if (q->policy->address_defers_if_permit)
		return defer_if_permit(q, 450, dsn, "<%.*s>: %s rejected: Domain not found", SOME(about->name), about->kind);
	return refuse_about(q, about, 450, dsn, "Domain not found");
}

static enum verdict check_domain(struct inquiry *q, const struct about *about, struct slice domain)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };
	const char *dsn = about->subject == ABOUT_SENDER ? "4.1.8" : "4.1.2";
	struct dns_answer answer;
	bool temporary;

	inquiry_dns(q, domain, DNS_MX, &answer);
	if (answer.status == DNS_OK && has_null_mx(&answer))
		return refuse_about(q, about, about->subject == ABOUT_SENDER ? 550 : 556,
				    about->subject == ABOUT_SENDER ? "5.7.27" : "5.1.10", "Domain %.*s does not accept mail (nullMX)", SOME(domain));
	if (answer.status == DNS_OK)
		return VERDICT_DUNNO;
	temporary = answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS;
	for (size_t i = 0; i < 2 && answer.status != DNS_NXDOMAIN; i++) {
		inquiry_dns(q, domain, types[i], &answer);
		if (answer.status == DNS_OK)
			return VERDICT_DUNNO;
		temporary |= answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS;
	}
	if (temporary)
		return domain_in_doubt(q, about, dsn);
	return refuse_about(q, about, q->policy->codes.unknown_address, dsn, "Domain not found");
}

enum verdict rule_unknown_domain(struct inquiry *q, const struct rule *rule)
{
	const struct route *route;
	enum verdict verdict;
	struct about about;
	struct slice domain;

	if (!inquiry_about(q, rule->type->subject, &about) || about.name.len == 0)
		return VERDICT_DUNNO;
	route = route_of(q, rule->type->subject, &verdict);
	if (!route)
		return verdict;
	domain = domain_of(route->address);
	if ((route->class_ != ROUTE_DEFAULT && route->class_ != ROUTE_RELAY) || domain.len == 0 || domain.ptr[0] == '[')
		return VERDICT_DUNNO;
	return check_domain(q, &about, domain);
}

/* --- existence --- */

enum verdict rule_unlisted(struct inquiry *q, const struct rule *rule)
{
	struct route_refusal refusal;
	const struct route *route;
	enum verdict verdict;
	struct about about;
	struct err err;

	if (!inquiry_about(q, rule->type->subject, &about) || about.name.len == 0)
		return VERDICT_DUNNO;
	*(about.subject == ABOUT_SENDER ? &q->sender_was_checked : &q->recipient_was_checked) = true;
	route = route_of(q, rule->type->subject, &verdict);
	if (!route)
		return verdict;
	switch (router_check_recipient(q->policy->router, route, q->arena, &refusal, &err)) {
	case 1:
		return VERDICT_DUNNO;
	case 0:
		break;
	default:
		return lookup_failed(q, about.name, &err);
	}
	/* An unknown user has the code of its class; what a table says of an address has its own. */
	if (slice_eq(refusal.dsn, SLICE("5.1.1")))
		refusal.code = q->policy->codes.unknown_recipient[route->class_];
	return refuse_about(q, &about, refusal.code, arena_cstr(q->arena, refusal.dsn), "%.*s", SOME(refusal.text));
}

/* --- probes --- */

static enum verdict unverified(struct inquiry *q, const struct about *about, const struct verify_result *result)
{
	const struct policy *p = q->policy;
	bool sender = about->subject == ABOUT_SENDER;
	const char *reason = sender ? p->unverified_sender_text : p->unverified_recipient_text;
	int bad = sender ? p->codes.unverified_sender : p->codes.unverified_recipient;
	int later = sender ? p->codes.unverified_sender_defer : p->codes.unverified_recipient_defer;
	const char *text = *reason ? reason : result->text;
	bool wait = sender ? p->unverified_sender_defers_if_permit : p->unverified_recipient_defers_if_permit;

	if (result->status == VERIFY_BAD)
		return refuse_about(q, about, bad, result->dsn, "undeliverable address: %s", text);
	if (result->status == VERIFY_UNKNOWN)
		text = "unverified address: Address verification in progress";
	else
		text = arena_printf(q->arena, "unverified address: %s", text);
	if (wait)
		return defer_if_permit(q, later, "4.1.1", "<%.*s>: %s rejected: %s", SOME(about->name), about->kind, text);
	return refuse_about(q, about, later, "4.1.1", "%s", text);
}

enum verdict rule_unverified(struct inquiry *q, const struct rule *rule)
{
	struct verify_result result;
	const struct route *route;
	enum verdict verdict;
	struct about about;

	if (!inquiry_about(q, rule->type->subject, &about) || about.name.len == 0)
		return VERDICT_DUNNO;
	route = route_of(q, rule->type->subject, &verdict);
	if (!route)
		return verdict;
	verify_address(q->policy->verify, route->address, loop_now() + q->policy->verify_wait, &result);
	return result.status == VERIFY_OK ? VERDICT_DUNNO : unverified(q, &about, &result);
}

/* --- whose the sender's address is --- */

static bool names_user(struct slice owners, struct slice user)
{
	struct slice word;

	while (slice_word(&owners, ", \t\r\n", &word))
		if (slice_eq_nocase(word, user))
			return true;
	return false;
}

enum verdict rule_login_mismatch(struct inquiry *q, const struct rule *rule)
{
	const struct policy_facts *f = q->facts;
	int what = rule->type->detail;
	const struct route *route;
	enum verdict verdict;
	struct about about;
	struct slice owners;
	struct err err;

	if (!inquiry_about(q, ABOUT_SENDER, &about) || about.name.len == 0)
		return VERDICT_DUNNO;
	if (!(f->login.len > 0 ? what & LOGIN_OWNED : what & LOGIN_NEEDED))
		return VERDICT_DUNNO;
	route = inquiry_sender_route(q, &verdict);
	if (!route)
		return verdict;
	struct table_address_style style = { q->policy->delimiter, route->class_ == ROUTE_LOCAL, true };
	enum table_result found = table_list_lookup_address(q->policy->login_maps, route->address, &style, q->arena, &owners,
							    &err);

	if (found == TABLE_ERROR)
		return lookup_failed(q, about.name, &err);
	if (f->login.len == 0)
		return found == TABLE_NOT_FOUND ? VERDICT_DUNNO : refuse_about(q, &about, 553, "5.7.1", "not logged in");
	if (found == TABLE_FOUND ? names_user(owners, f->login) : (what & LOGIN_KNOWN) != 0)
		return VERDICT_DUNNO;
	return refuse_about(q, &about, 553, "5.7.1", "not owned by user %.*s", SOME(f->login));
}

/* --- destinations --- */

static bool may_be_sent_here(const struct route *route)
{
	return route->class_ != ROUTE_DEFAULT && !route->routed;
}

enum verdict rule_auth_destination(struct inquiry *q, const struct rule *rule)
{
	const struct route *route;
	enum verdict verdict;

	if (q->facts->recipient.len == 0)
		return VERDICT_DUNNO;
	route = inquiry_recipient_route(q, &verdict);
	if (!route)
		return verdict;
	return may_be_sent_here(route) ? VERDICT_PERMIT : VERDICT_DUNNO;
}

enum verdict rule_unauth_destination(struct inquiry *q, const struct rule *rule)
{
	int code = rule->type->detail == 4 ? q->policy->codes.relay % 100 + 400 : q->policy->codes.relay;
	const struct route *route;
	enum verdict verdict;

	if (q->facts->recipient.len == 0)
		return VERDICT_DUNNO;
	route = inquiry_recipient_route(q, &verdict);
	if (!route)
		return verdict;
	if (may_be_sent_here(route))
		return VERDICT_DUNNO;
	return refuse(q, code, "5.7.1", "<%.*s>: Relay access denied", SOME(q->facts->recipient));
}

/* Is the host one of ours, by name or by address? */
static int is_ours(struct inquiry *q, struct slice host, bool own, struct err *err)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };
	struct dns_answer answer;

	for (size_t t = 0; t < 2; t++) {
		inquiry_dns(q, host, types[t], &answer);
		for (size_t i = 0; i < answer.count; i++) {
			struct slice address = dns_address_text(q->arena, &answer.records[i]);
			int inside = own ? router_is_own_address(q->policy->router, address, err)
					 : (int)match_list_test_client(q->policy->backup_networks, host, address, err);

			if (inside != 0)
				return inside;
		}
	}
	return 0;
}

/* 1 when we are among its MX hosts, and its first ones are where permit_mx_backup_networks says; 0, -1. */
static int is_backed_up(struct inquiry *q, const struct dns_answer *mx, struct err *err)
{
	uint16_t best = UINT16_MAX;
	int ours = 0, good = 0;

	for (size_t i = 0; i < mx->count; i++)
		if (mx->records[i].preference < best)
			best = mx->records[i].preference;
	for (size_t i = 0; i < mx->count && ours == 0; i++)
		ours = is_ours(q, mx->records[i].name, true, err);
	if (ours <= 0 || !*config_text(q->policy->config, "permit_mx_backup_networks"))
		return ours;
	for (size_t i = 0; i < mx->count && good == 0; i++)
		if (mx->records[i].preference == best)
			good = is_ours(q, mx->records[i].name, false, err);
	return good;
}

enum verdict rule_mx_backup(struct inquiry *q, const struct rule *rule)
{
	const struct route *route;
	struct dns_answer mx;
	enum verdict verdict;
	struct err err;

	if (q->facts->recipient.len == 0)
		return VERDICT_DUNNO;
	route = inquiry_recipient_route(q, &verdict);
	if (!route)
		return verdict;
	if (route->routed)
		return VERDICT_DUNNO;
	if (route->class_ != ROUTE_DEFAULT)
		return VERDICT_PERMIT;
	inquiry_dns(q, domain_of(route->address), DNS_MX, &mx);
	if (mx.status == DNS_TEMPORARY || mx.status == DNS_BOGUS)
		return defer_if_reject(q, 450, "4.4.4", "<%.*s>: Recipient address rejected: Unable to look up mail exchanger "
				       "information", SOME(q->facts->recipient));
	switch (is_backed_up(q, &mx, &err)) {
	case 1:
		return VERDICT_PERMIT;
	case 0:
		return VERDICT_DUNNO;
	default:
		return lookup_failed(q, q->facts->recipient, &err);
	}
}
