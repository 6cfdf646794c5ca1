/* SPDX-License-Identifier: ISC */
/* access(5): which keys a table is asked for, and what its answers do. */
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/tls/info.h"
#include "policy/rules.h"

#define SOME(s) SLICE_FMT(slice_sub((s), 0, 256))

/* --- looking up --- */

/* A search in one table: ends at the first key that it has. */
struct search {
	struct inquiry *q;
	struct table_list *list;
	struct slice value;
	const char *table;
	enum table_result result;
	struct err err;
};

/* True: go on with the next key. */
static bool try_key(struct search *s, struct slice key, bool partial)
{
	struct table_question question = { .key = key, .partial = partial };

	s->result = table_list_ask(s->list, &question, s->q->arena, &s->err);
	s->value = question.value;
	s->table = question.table;
	return s->result == TABLE_NOT_FOUND;
}

/* The name and its parents, with or without the dot as parent_domain_matches_subdomains says. */
static bool try_domain(struct search *s, struct slice domain, bool partial)
{
	bool parents = s->q->policy->parent_matches;
	struct slice key = domain;

	if (key.len > 1 && key.ptr[key.len - 1] == '.')
		key = slice_sub(key, 0, key.len - 1);
	while (key.len > 0) {
		struct slice inner = key.ptr[0] == '.' ? slice_sub(key, 1, key.len) : key;
		ptrdiff_t dot = slice_find(inner, '.');

		if (!try_key(s, key, partial))
			return false;
		if (dot < 0)
			break;
		key = slice_sub(inner, (size_t)dot + (parents ? 1 : 0), inner.len);
		partial = true;
	}
	return true;
}

/* 192.0.2.1, 192.0.2, 192.0, 192; of IPv6 the same at colons. */
static bool try_address(struct search *s, struct slice address)
{
	char separator = slice_find(address, ':') >= 0 ? ':' : '.';
	bool partial = false;

	for (;;) {
		ptrdiff_t end;

		if (!try_key(s, address, partial))
			return false;
		end = slice_rfind(address, separator);
		if (end <= 0)
			return true;
		address = slice_sub(address, 0, (size_t)end);
		while (address.len > 0 && address.ptr[address.len - 1] == separator)
			address = slice_sub(address, 0, address.len - 1);
		partial = true;
	}
}

/* user+ext@domain, user@domain, the domain and its parents, user+ext@, user@. */
static bool try_mail(struct search *s, struct slice mail)
{
	struct slice local, domain, user = SLICE_NONE, extension;
	struct arena *arena = s->q->arena;
	bool extended;

	address_split(mail, &local, &domain);
	extended = address_split_extension(local, s->q->policy->delimiter, &user, &extension);
	if (!try_key(s, mail, false))
		return false;
	if (extended && !try_key(s, slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(user), SLICE_FMT(domain))), true))
		return false;
	if (!try_domain(s, domain, true))
		return false;
	if (!try_key(s, slice_of(arena_printf(arena, "%.*s@", SLICE_FMT(local))), true))
		return false;
	return !extended || try_key(s, slice_of(arena_printf(arena, "%.*s@", SLICE_FMT(user))), true);
}

static enum verdict finish(struct search *s, const struct about *about)
{
	switch (s->result) {
	case TABLE_FOUND:
		return access_result(s->q, s->value, s->table, about);
	case TABLE_ERROR:
		return lookup_failed(s->q, about->name, &s->err);
	case TABLE_NOT_FOUND:
		break;
	}
	return VERDICT_DUNNO;
}

enum verdict access_domain(struct inquiry *q, const struct rule *rule, struct slice domain, const struct about *about)
{
	struct search s = { .q = q, .list = rule->table };

	try_domain(&s, domain, false);
	return finish(&s, about);
}

enum verdict access_address(struct inquiry *q, const struct rule *rule, struct slice address, const struct about *about)
{
	struct search s = { .q = q, .list = rule->table };

	try_address(&s, address);
	return finish(&s, about);
}

static enum verdict access_mail(struct inquiry *q, const struct rule *rule, const struct about *about)
{
	struct search s = { .q = q, .list = rule->table };
	const struct route *route;
	enum verdict verdict;

	if (about->name.len == 0) {
		try_key(&s, slice_of(q->policy->null_key), false);
		return finish(&s, about);
	}
	route = about->subject == ABOUT_SENDER ? inquiry_sender_route(q, &verdict) : inquiry_recipient_route(q, &verdict);
	if (!route)
		return verdict;
	try_mail(&s, route->address);
	return finish(&s, about);
}

static enum verdict access_client(struct inquiry *q, const struct rule *rule, const char *name, const struct about *about)
{
	struct search s = { .q = q, .list = rule->table };

	if (try_domain(&s, slice_of(name), false))
		try_address(&s, slice_of(q->facts->client->address));
	return finish(&s, about);
}

enum verdict rule_access(struct inquiry *q, const struct rule *rule)
{
	struct search s = { .q = q, .list = rule->table };
	struct about about;

	if (!inquiry_about(q, rule->type->subject, &about))
		return VERDICT_DUNNO;
	switch (about.subject) {
	case ABOUT_CLIENT:
		return access_client(q, rule, q->facts->client->name, &about);
	case ABOUT_REVERSE_CLIENT:
		return access_client(q, rule, q->facts->client->reverse_name, &about);
	case ABOUT_HELO:
	case ABOUT_ETRN:
		return access_domain(q, rule, about.name, &about);
	case ABOUT_SENDER:
	case ABOUT_RECIPIENT:
		return access_mail(q, rule, &about);
	case ABOUT_ORIGIN:
		return rule_address_map(q, rule);
	case ABOUT_LOGIN:
		try_key(&s, about.name, false);
		return finish(&s, &about);
	default:
		return configuration_error(q, "table %.*s: say what is to be looked up, as check_client_access",
					   SLICE_FMT(rule->word));
	}
}

static struct slice certificate_key(const struct tls_info *tls, const char *what)
{
	if (strcmp(what, "cert_fingerprint") == 0)
		return slice_of(tls->certificate_fingerprint);
	if (strcmp(what, "pubkey_fingerprint") == 0)
		return slice_of(tls->key_fingerprint);
	/* Names count only when an authority that we trust stands for them. */
	if (!tls->trusted)
		return SLICE_NONE;
	return slice_of(strcmp(what, "subject_cn") == 0 ? tls->peer_name : tls->peer_issuer);
}

enum verdict rule_certificate_access(struct inquiry *q, const struct rule *rule)
{
	struct search s = { .q = q, .list = rule->table };
	const struct tls_info *tls = q->facts->tls;
	struct about about = { .kind = "Client certificate", .subject = ABOUT_CERTIFICATE };

	if (!tls || !tls->has_peer)
		return VERDICT_DUNNO;
	for (size_t i = 0; rule->search_order[i]; i++) {
		about.name = certificate_key(tls, rule->search_order[i]);
		if (about.name.len > 0 && !try_key(&s, about.name, false))
			return finish(&s, &about);
	}
	return VERDICT_DUNNO;
}

/* --- what the answer does --- */

struct action {
	struct inquiry *q;
	const struct about *about;
	const char *table;
	struct slice word, text;           /* "REJECT", what stands behind it */
};

static void log_action(const struct action *a, const char *what, const char *verb)
{
	struct str text = { 0 };

	str_printf(&text, "<%.*s>: %s ", SOME(a->about->name), a->about->kind);
	if (verb)
		str_printf(&text, "%s ", verb);
	str_append(&text, a->text);
	policy_log(a->q->facts, what, str_cstr(&text));
	str_free(&text);
}

static enum verdict refuse_with_text(const struct action *a, int code, const char *fallback)
{
	char dsn[16];
	struct slice text = reply_split_dsn(a->text, code, "5.7.1", dsn);

	return refuse_about(a->q, a->about, code, dsn, "%.*s", SLICE_FMT(text.len ? text : slice_of(fallback)));
}

static enum verdict act_ok(const struct action *a)
{
	return VERDICT_PERMIT;
}

static enum verdict act_dunno(const struct action *a)
{
	return VERDICT_DUNNO;
}

static enum verdict act_reject(const struct action *a)
{
	return refuse_with_text(a, a->q->policy->codes.access_reject, "Access denied");
}

static enum verdict act_defer(const struct action *a)
{
	return refuse_with_text(a, a->q->policy->codes.access_defer, "Access denied");
}

static enum verdict defer_if(const struct action *a, bool permit)
{
	int code = a->q->policy->codes.access_defer;
	char dsn[16];
	struct slice text = reply_split_dsn(a->text, code, "4.7.1", dsn);

	fit_dsn(dsn, a->about->subject);
	return (permit ? defer_if_permit : defer_if_reject)(a->q, code, dsn, "<%.*s>: %s rejected: %.*s", SOME(a->about->name),
							    a->about->kind,
							    SLICE_FMT(text.len ? text : SLICE("Service unavailable")));
}

static enum verdict act_defer_if_permit(const struct action *a)
{
	return defer_if(a, true);
}

static enum verdict act_defer_if_reject(const struct action *a)
{
	return defer_if(a, false);
}

static enum verdict act_warn(const struct action *a)
{
	log_action(a, "warn", a->text.len ? NULL : "triggers WARN");
	return VERDICT_DUNNO;
}

static enum verdict act_info(const struct action *a)
{
	log_action(a, "info", a->text.len ? NULL : "triggers INFO");
	return VERDICT_DUNNO;
}

/* Effects; under warn_if_reject and VRFY they are none. */
static bool takes_effect(const struct action *a)
{
	return !a->q->facts->asked_only;
}

static enum verdict act_hold(const struct action *a)
{
	log_action(a, "hold", a->text.len ? NULL : "triggers HOLD action");
	a->q->memory->effects.hold |= takes_effect(a);
	return VERDICT_DUNNO;
}

/* All that would come is answered as if it were taken: no more is asked. */
static enum verdict act_discard(const struct action *a)
{
	log_action(a, "discard", a->text.len ? NULL : "triggers DISCARD action");
	a->q->memory->effects.discard |= takes_effect(a);
	return VERDICT_PERMIT;
}

static enum verdict bad_action(const struct action *a, const char *needs)
{
	return configuration_error(a->q, "access table %s: %.*s %.*s: %s", a->table, SLICE_FMT(a->word), SOME(a->text), needs);
}

static enum verdict act_filter(const struct action *a)
{
	if (slice_find(a->text, ':') <= 0)
		return bad_action(a, "expected transport:destination");
	log_action(a, "filter", "triggers FILTER");
	if (takes_effect(a))
		a->q->memory->effects.filter = arena_slice(a->q->arena, a->text);
	return VERDICT_DUNNO;
}

static enum verdict act_redirect(const struct action *a)
{
	if (slice_find(a->text, '@') <= 0)
		return bad_action(a, "expected an address, user@domain");
	log_action(a, "redirect", "triggers REDIRECT");
	if (takes_effect(a))
		a->q->memory->effects.redirect = arena_slice(a->q->arena, a->text);
	return VERDICT_DUNNO;
}

#define BCC_MAX 100

static enum verdict act_bcc(const struct action *a)
{
	struct policy_effects *e = &a->q->memory->effects;

	if (slice_find(a->text, '@') <= 0)
		return bad_action(a, "expected an address, user@domain");
	log_action(a, "bcc", "triggers BCC");
	if (!takes_effect(a) || e->bcc_count == BCC_MAX)
		return VERDICT_DUNNO;
	if (!e->bcc)
		e->bcc = arena_alloc(a->q->arena, BCC_MAX * sizeof(*e->bcc));
	e->bcc[e->bcc_count++] = arena_slice(a->q->arena, a->text);
	return VERDICT_DUNNO;
}

#define PREPEND_MAX 32768

static bool is_header_field(struct slice text)
{
	ptrdiff_t colon = slice_find(text, ':');

	if (colon <= 0 || text.len > 900)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127 ||
		    (i < (size_t)colon && (text.ptr[i] == ' ' || (unsigned char)text.ptr[i] > 126)))
			return false;
	return true;
}

static enum verdict act_prepend(const struct action *a)
{
	struct policy_effects *e = &a->q->memory->effects;

	if (!is_header_field(a->text))
		return bad_action(a, "expected a header field, Name: value");
	log_action(a, "prepend", "triggers PREPEND");
	if (takes_effect(a) && e->prepend.len < PREPEND_MAX)
		e->prepend = slice_of(arena_printf(a->q->arena, "%.*s%.*s\r\n", SLICE_FMT(e->prepend), SLICE_FMT(a->text)));
	return VERDICT_DUNNO;
}

static const struct {
	const char *name;
	enum verdict (*act)(const struct action *a);
} actions[] = {
	{ "OK", act_ok }, { "DUNNO", act_dunno }, { "REJECT", act_reject }, { "DEFER", act_defer },
	{ "DEFER_IF_PERMIT", act_defer_if_permit }, { "DEFER_IF_REJECT", act_defer_if_reject }, { "WARN", act_warn },
	{ "INFO", act_info }, { "HOLD", act_hold }, { "DISCARD", act_discard }, { "FILTER", act_filter },
	{ "REDIRECT", act_redirect }, { "BCC", act_bcc }, { "PREPEND", act_prepend }, { "RELAY", act_ok },
};

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0;
}

static enum verdict act_restrictions(const struct action *a, struct slice value)
{
	const struct rule *rules;
	struct err err;

	if (!rules_compile_result(a->q->policy, value, a->q->arena, &rules, &err))
		return configuration_error(a->q, "access table %s: %s", a->table, err.text);
	return rules_apply(a->q, rules);
}

enum verdict access_result(struct inquiry *q, struct slice value, const char *from, const struct about *about)
{
	struct action a = { q, about, from, SLICE_NONE, SLICE_NONE };
	struct slice rest = slice_trim(value);
	int code;

	a.text = rest;
	if (!slice_word(&a.text, " \t", &a.word))
		return configuration_error(q, "access table %s has an empty value for %.*s", from, SOME(about->name));
	a.text = slice_trim(a.text);
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (slice_eq_nocase(a.word, slice_of(actions[i].name)))
			return actions[i].act(&a);
	if (all_digits(rest))
		return VERDICT_PERMIT;
	a.text = rest;
	code = reply_split_code(&a.text);
	if (code)
		return refuse_with_text(&a, code, "Access denied");
	return act_restrictions(&a, rest);
}
