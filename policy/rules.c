/* SPDX-License-Identifier: ISC */
/* The restrictions by name, and how a list becomes rules. */
#include "policy/rules.h"

#include "common/base/str.h"
#include "common/config/params.h"
#include "tables/table_types.h"

#define SEPARATORS ", \t\r\n"

static const struct rule_type types[] = {
	{ .name = "permit", .apply = rule_permit },
	{ .name = "reject", .apply = rule_reject, .closes = true },
	{ .name = "defer", .apply = rule_defer, .closes = true },
	{ .name = "defer_if_permit", .apply = rule_defer_if, .detail = DEFER_IF_PERMIT, .closes = true },
	{ .name = "defer_if_reject", .apply = rule_defer_if, .detail = DEFER_IF_REJECT },
	{ .name = "sleep", .apply = rule_sleep, .argument = ARGUMENT_SECONDS },
	{ .name = "check_policy_service", .apply = rule_policy_service, .argument = ARGUMENT_SERVICE },
	{ .name = "reject_multi_recipient_bounce", .apply = rule_multi_recipient_bounce },
	{ .name = "reject_plaintext_session", .apply = rule_plaintext },
	/* For who sets smtpd_forbid_unauth_pipelining = no: the session ends by itself otherwise. */
	{ .name = "reject_unauth_pipelining", .apply = rule_pipelining },

	{ .name = "permit_mynetworks", .apply = rule_mynetworks },
	{ .name = "permit_inet_interfaces", .apply = rule_inet_interfaces },
	{ .name = "check_address_map", .apply = rule_address_map, .argument = ARGUMENT_TABLE, .subject = ABOUT_ORIGIN },
	{ .name = "permit_sasl_authenticated", .apply = rule_logged_in },
	{ .name = "permit_tls_clientcerts", .apply = rule_client_certificate, .detail = CERTIFICATE_LISTED },
	{ .name = "permit_tls_all_clientcerts", .apply = rule_client_certificate, .detail = CERTIFICATE_TRUSTED },
	{ .name = "reject_unknown_client_hostname", .apply = rule_unknown_client, .detail = NAME_CONFIRMED },
	{ .name = "reject_unknown_client", .apply = rule_unknown_client, .detail = NAME_CONFIRMED },
	{ .name = "reject_unknown_reverse_client_hostname", .apply = rule_unknown_client, .detail = NAME_REVERSE },
	{ .name = "reject_unknown_forward_client_hostname", .apply = rule_unknown_client, .detail = NAME_FORWARD },

	{ .name = "check_client_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_CLIENT },
	{ "check_reverse_client_hostname_access", rule_access, ARGUMENT_TABLE, ABOUT_REVERSE_CLIENT, 0, false, true },
	{ .name = "check_ccert_access", .apply = rule_certificate_access, ARGUMENT_CERTIFICATE_TABLE, ABOUT_CERTIFICATE },
	{ .name = "check_sasl_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_LOGIN },
	{ .name = "check_helo_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_HELO },
	{ .name = "check_sender_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_SENDER },
	{ .name = "check_recipient_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_RECIPIENT },
	{ .name = "check_etrn_access", .apply = rule_access, ARGUMENT_TABLE, ABOUT_ETRN },
#define SERVERS(what, about)                                                                                          \
	{ "check_" what "_mx_access", rule_server_access, ARGUMENT_TABLE, about, DNS_MX, false, true },               \
	{ "check_" what "_ns_access", rule_server_access, ARGUMENT_TABLE, about, DNS_NS, false, true },               \
	{ "check_" what "_a_access", rule_server_access, ARGUMENT_TABLE, about, DNS_A, false, true }
	SERVERS("client", ABOUT_CLIENT),
	SERVERS("reverse_client_hostname", ABOUT_REVERSE_CLIENT),
	SERVERS("helo", ABOUT_HELO),
	SERVERS("sender", ABOUT_SENDER),
	SERVERS("recipient", ABOUT_RECIPIENT),
#undef SERVERS

	{ .name = "reject_rbl_client", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_CLIENT, .detail = DNS_A },
	{ .name = "reject_rhsbl_client", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_CLIENT },
	{ .name = "reject_rhsbl_reverse_client", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_REVERSE_CLIENT },
	{ .name = "reject_rhsbl_helo", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_HELO },
	{ .name = "reject_rhsbl_sender", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_SENDER },
	{ .name = "reject_rhsbl_recipient", .apply = rule_dnsbl, ARGUMENT_ZONE, ABOUT_RECIPIENT },
	{ .name = "permit_dnswl_client", .apply = rule_dnswl, ARGUMENT_ZONE, ABOUT_CLIENT, .detail = DNS_A },
	{ .name = "permit_rhswl_client", .apply = rule_dnswl, ARGUMENT_ZONE, ABOUT_CLIENT },

	{ .name = "reject_invalid_helo_hostname", .apply = rule_helo_form, .detail = HELO_VALID },
	{ .name = "reject_invalid_hostname", .apply = rule_helo_form, .detail = HELO_VALID },
	{ .name = "reject_non_fqdn_helo_hostname", .apply = rule_helo_form, .detail = HELO_FQDN },
	{ .name = "reject_non_fqdn_hostname", .apply = rule_helo_form, .detail = HELO_FQDN },
	{ .name = "reject_unknown_helo_hostname", .apply = rule_unknown_helo },
	{ .name = "reject_unknown_hostname", .apply = rule_unknown_helo },

	{ .name = "reject_non_fqdn_sender", .apply = rule_non_fqdn, .subject = ABOUT_SENDER },
	{ .name = "reject_non_fqdn_recipient", .apply = rule_non_fqdn, .subject = ABOUT_RECIPIENT },
	{ .name = "reject_unknown_sender_domain", .apply = rule_unknown_domain, .subject = ABOUT_SENDER },
	{ .name = "reject_unknown_recipient_domain", .apply = rule_unknown_domain, .subject = ABOUT_RECIPIENT },
	{ .name = "reject_unlisted_sender", .apply = rule_unlisted, .subject = ABOUT_SENDER },
	{ .name = "reject_unlisted_recipient", .apply = rule_unlisted, .subject = ABOUT_RECIPIENT },
	{ .name = "check_recipient_maps", .apply = rule_unlisted, .subject = ABOUT_RECIPIENT },
	{ .name = "reject_unverified_sender", .apply = rule_unverified, .subject = ABOUT_SENDER },
	{ .name = "reject_unverified_recipient", .apply = rule_unverified, .subject = ABOUT_RECIPIENT },
	{ .name = "reject_sender_login_mismatch", .apply = rule_login_mismatch, .detail = LOGIN_OWNED | LOGIN_NEEDED },
	{ .name = "reject_authenticated_sender_login_mismatch", .apply = rule_login_mismatch, .detail = LOGIN_OWNED },
	{ .name = "reject_known_sender_login_mismatch", .apply = rule_login_mismatch, .detail = LOGIN_OWNED | LOGIN_KNOWN },
	{ .name = "reject_unauthenticated_sender_login_mismatch", .apply = rule_login_mismatch, .detail = LOGIN_NEEDED },
	{ .name = "reject_spf_fail", .apply = rule_spf_fail },
	{ .name = "reject_dmarc_fail", .apply = rule_dmarc_fail },
	{ .name = "permit_dkim_domain", .apply = rule_dkim_domain, .argument = ARGUMENT_TABLE },
	{ .name = "permit_auth_destination", .apply = rule_auth_destination },
	{ .name = "reject_unauth_destination", .apply = rule_unauth_destination, .detail = 5, .closes = true },
	{ .name = "defer_unauth_destination", .apply = rule_unauth_destination, .detail = 4, .closes = true },
	{ .name = "permit_mx_backup", .apply = rule_mx_backup },
};

/* "type:table" alone: looked up for whatever the list is about. */
static const struct rule_type bare_table = { .name = "table", .apply = rule_access, .argument = ARGUMENT_TABLE };
static const struct rule_type class_type = { .name = "class", .apply = rule_class };

static const struct rule_type *find_type(struct slice word)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (slice_eq_nocase(word, slice_of(types[i].name)))
			return &types[i];
	return NULL;
}

/* --- one compilation --- */

struct compiling {
	struct policy *policy;
	struct arena *arena;
	bool at_start;                     /* tables may be opened */
	const struct compiling *outer;     /* of a class: what it stands in */
	struct slice class_name;
};

static bool compile_list(struct compiling *c, struct slice text, const struct rule **rules, struct err *err);

struct table_list *policy_table_open(struct policy *policy, struct slice spec, struct err *err)
{
	struct policy_table *t = policy->tables;

	while (t && !slice_eq(t->spec, spec))
		t = t->next;
	if (t)
		return t->list;
	t = arena_alloc(policy->arena, sizeof(*t));
	t->spec = arena_slice(policy->arena, spec);
	t->list = table_list_open(t->spec.ptr, err);
	if (!t->list)
		return NULL;
	t->next = policy->tables;
	policy->tables = t;
	return t->list;
}

static struct table_list *take_table(struct compiling *c, struct slice spec, struct err *err)
{
	if (c->at_start)
		return policy_table_open(c->policy, spec, err);
	for (struct policy_table *t = c->policy->tables; t; t = t->next)
		if (slice_eq(t->spec, spec))
			return t->list;
	err_set(err, ERR_SYNTAX, "table %.*s is not mentioned in main.cf: it cannot be opened from the sandbox",
		SLICE_FMT(spec));
	return NULL;
}

/* { type:table, { search_order = cert_fingerprint, pubkey_fingerprint } } */
static bool take_certificate_table(struct compiling *c, struct slice text, struct rule *rule, struct err *err)
{
	static const char *const usual[] = { "cert_fingerprint", "pubkey_fingerprint", NULL };
	static const char *const known[] = { "cert_fingerprint", "pubkey_fingerprint", "subject_cn", "issuer_cn" };
	struct slice rest = text, spec, key, word;
	const char **order = arena_alloc(c->arena, 8 * sizeof(*order));
	size_t count = 0;

	rule->search_order = usual;
	if (!table_next_spec(&rest, &spec))
		return err_set(err, ERR_SYNTAX, "check_ccert_access: expected a table");
	rule->table = take_table(c, spec, err);
	if (!rule->table)
		return false;
	if (!slice_cut(&rest, '=', &key))
		return slice_trim(key).len == 0 || err_set(err, ERR_SYNTAX, "check_ccert_access: expected search_order=…");
	while (slice_word(&rest, SEPARATORS "{}", &word)) {
		size_t i = 0;

		while (i < 4 && !slice_eq_nocase(word, slice_of(known[i])))
			i++;
		if (i == 4 || count == 7)
			return err_set(err, ERR_SYNTAX, "check_ccert_access: search_order: \"%.*s\" is not known", SLICE_FMT(word));
		order[count++] = known[i];
	}
	rule->search_order = order;
	return true;
}

static bool take_seconds(struct slice text, double *seconds, struct err *err)
{
	return (param_parse_time(text, 's', seconds) && *seconds <= 1000) ||
	       err_set(err, ERR_SYNTAX, "sleep: expected a number of seconds, not \"%.*s\"", SLICE_FMT(text));
}

/* "{ a, b }" is one word: what is inside. */
static struct slice without_braces(struct slice text)
{
	if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
		return text;
	return slice_trim(slice_sub(text, 1, text.len - 2));
}

/* Its connections outlive a question; so must it. */
static bool keep_service(struct compiling *c, struct policy_service *service, struct err *err)
{
	if (!c->at_start)
		return err_set(err, ERR_SYNTAX, "check_policy_service cannot stand in a table: put it into a restriction class");
	service->next = c->policy->services;
	c->policy->services = service;
	return true;
}

static bool take_argument(struct compiling *c, struct slice *rest, struct rule *rule, struct err *err)
{
	const char *name = rule->type->name;
	struct dnsbl_zone *zone;
	struct policy_service *service;
	struct slice text;

	if (rule->type->argument == ARGUMENT_NONE)
		return true;
	if (!table_next_spec(rest, &text))
		return err_set(err, ERR_SYNTAX, "%s: something must follow it", name);
	text = without_braces(text);
	switch (rule->type->argument) {
	case ARGUMENT_NONE:
		return true;
	case ARGUMENT_TABLE:
		if (slice_find(text, ':') <= 0)
			return err_set(err, ERR_SYNTAX, "%s: expected type:table, not \"%.*s\"", name, SLICE_FMT(text));
		rule->table = take_table(c, text, err);
		return rule->table != NULL;
	case ARGUMENT_CERTIFICATE_TABLE:
		return take_certificate_table(c, text, rule, err);
	case ARGUMENT_SECONDS:
		return take_seconds(text, &rule->seconds, err);
	case ARGUMENT_ZONE:
		rule->zone = zone = arena_alloc(c->arena, sizeof(*zone));
		return dnsbl_parse(text, c->arena, zone, err) || err_prefix(err, "%s", name);
	case ARGUMENT_SERVICE:
		rule->service = service = arena_alloc(c->arena, sizeof(*service));
		return (policy_service_parse(c->policy, arena_slice(c->arena, text), service, err) ||
			err_prefix(err, "%s", name)) && keep_service(c, service, err);
	}
	return false;
}

static bool is_class(const struct policy *policy, struct slice name)
{
	struct slice rest = slice_of(config_text(policy->config, "smtpd_restriction_classes")), word;

	while (slice_word(&rest, SEPARATORS, &word))
		if (slice_eq(word, name))
			return true;
	return false;
}

static bool compile_class(struct compiling *c, struct slice name, struct rule *rule, struct err *err)
{
	struct compiling inner = { c->policy, c->arena, c->at_start, c, name };
	const char *text = config_lookup(c->policy->config, arena_cstr(c->arena, name));

	rule->type = &class_type;
	if (!text)
		return err_set(err, ERR_SYNTAX, "restriction class %.*s has no value", SLICE_FMT(name));
	for (const struct compiling *outer = c; outer; outer = outer->outer)
		if (slice_eq(outer->class_name, name))
			return err_set(err, ERR_SYNTAX, "restriction class %.*s contains itself", SLICE_FMT(name));
	return compile_list(&inner, slice_of(text), &rule->members, err) || err_prefix(err, "%.*s", SLICE_FMT(name));
}

static bool compile_word(struct compiling *c, struct slice word, struct slice *rest, struct rule *rule, struct err *err)
{
	struct slice name = word;

	rule->word = arena_slice(c->arena, word);
	if (is_class(c->policy, name))
		return compile_class(c, name, rule, err);
	rule->type = find_type(name);
	if (rule->type)
		return take_argument(c, rest, rule, err);
	if (slice_find(word, ':') > 0) {
		rule->type = &bare_table;
		rule->table = take_table(c, word, err);
		return rule->table != NULL;
	}
	return err_set(err, ERR_SYNTAX, "unknown restriction \"%.*s\"", SLICE_FMT(word));
}

static bool compile_list(struct compiling *c, struct slice text, const struct rule **rules, struct err *err)
{
	const struct rule **last = rules;
	struct slice word;
	bool warn = false;

	*rules = NULL;
	while (table_next_spec(&text, &word)) {
		if (slice_eq_nocase(word, SLICE("warn_if_reject"))) {
			warn = true;
			continue;
		}
		struct rule *rule = arena_alloc(c->arena, sizeof(*rule));

		if (!compile_word(c, word, &text, rule, err))
			return false;
		rule->warn = warn;
		warn = false;
		*last = rule;
		last = &rule->next;
	}
	return !warn || err_set(err, ERR_SYNTAX, "a restriction must follow warn_if_reject");
}

bool rules_compile(struct policy *policy, const char *parameter, const char *text, enum subject subject,
		   const struct rule **rules, struct err *err)
{
	struct compiling c = { .policy = policy, .arena = policy->arena, .at_start = true };
	bool ok = compile_list(&c, slice_of(text), rules, err);

	for (const struct rule *r = ok ? *rules : NULL; r && ok; r = r->next) {
		if (r->type == &bare_table && (subject == ABOUT_DATA || subject == ABOUT_END_OF_DATA))
			ok = err_set(err, ERR_SYNTAX, "table %.*s: say what is to be looked up, as check_client_access",
				     SLICE_FMT(r->word));
		if (r->type->subject == ABOUT_ORIGIN && subject != ABOUT_ORIGIN)
			ok = err_set(err, ERR_SYNTAX, "%s is for local_header_rewrite_clients", r->type->name);
	}
	return ok || err_prefix(err, "%s/main.cf: %s", config_dir(policy->config), parameter);
}

bool rules_compile_result(struct policy *policy, struct slice text, struct arena *arena, const struct rule **rules,
			  struct err *err)
{
	struct compiling c = { .policy = policy, .arena = arena };

	return compile_list(&c, text, rules, err);
}

bool rules_close(const struct rule *rules)
{
	for (const struct rule *r = rules; r; r = r->next) {
		if (r->warn)
			continue;
		if (r->type->closes || (r->members && rules_close(r->members)))
			return true;
		if (r->type->apply == rule_permit)
			return false; /* what follows is never reached */
	}
	return false;
}
