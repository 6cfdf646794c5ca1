/* SPDX-License-Identifier: ISC */
#include "authn/spf.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include "authn/spf_record.h"

#define NAMES_MAX       10 /* of MX and PTR records (§4.6.4) */
#define EXPLANATION_MAX 400
#define STEPS_MAX       200

struct state {
	const struct spf_request *request;
	struct arena *arena;
	struct spf_answer *answer;
	struct spf_names names; /* `domain` changes with include and redirect */
	struct spf_step **last_step;
	unsigned depth, includes, steps;
	bool has_validated, asked_ptr;
	struct slice validated; /* of %{p} */
	struct dns_answer ptr;
	bool final; /* `final_result` ends it all: limits, temporary errors */
	enum spf_result final_result;
};

const char *spf_result_text(enum spf_result result)
{
	static const char *const texts[] = {"none",     "neutral",   "pass",     "fail",
					    "softfail", "temperror", "permerror"};

	return texts[result];
}

/* --- telling --- */

static void note(struct state *s, struct slice term, const char *text)
{
	struct spf_step *step;

	if (s->steps++ >= STEPS_MAX)
		return;
	step = arena_alloc(s->arena, sizeof(*step));
	*step = (struct spf_step){.depth = s->depth,
				  .lookups = s->answer->lookups,
				  .domain = s->names.domain,
				  .term = term,
				  .text = slice_of(text)};
	*s->last_step = step;
	s->last_step = &step->next;
}

static void set_reason(struct state *s, const char *text)
{
	if (s->answer->reason.len == 0)
		s->answer->reason = slice_of(text);
}

/* Ends the whole evaluation. */
static bool stop(struct state *s, enum spf_result result, const char *reason)
{
	if (!s->final) {
		s->final = true;
		s->final_result = result;
		s->answer->reason = slice_of(reason);
	}
	return false;
}

/* --- DNS, with the limits --- */

static bool count_lookup(struct state *s)
{
	if (++s->answer->lookups <= SPF_LOOKUPS_MAX)
		return true;
	return stop(s, SPF_PERMERROR, "more than 10 terms that ask DNS");
}

/* A question on behalf of a term.  False: the evaluation is over. */
static bool ask(struct state *s, struct slice name, enum dns_type type, struct dns_answer *answer)
{
	authn_query(s->request->dns, name, type, s->arena, answer);
	if (authn_dns_failed(answer))
		return stop(s, SPF_TEMPERROR,
			    arena_printf(s->arena, "no answer now for %s of %.*s",
					 dns_type_text(type), SLICE_FMT(name)));
	if (answer->count == 0 && ++s->answer->voids > SPF_VOIDS_MAX)
		return stop(s, SPF_PERMERROR, "more than 2 questions found nothing");
	return true;
}

static bool same_network(const struct state *s, const uint8_t *a, const struct spf_term *term)
{
	unsigned bits = s->names.v6 ? term->prefix6 : term->prefix4;
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, s->names.address, whole) != 0)
		return false;
	return rest == 0 ||
	       ((a[whole] ^ s->names.address[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

static enum dns_type address_type(const struct state *s)
{
	return s->names.v6 ? DNS_AAAA : DNS_A;
}

static bool has_address(const struct state *s, const struct dns_answer *answer,
			const struct spf_term *term)
{
	for (size_t i = 0; i < answer->count; i++)
		if (answer->records[i].data.len == (s->names.v6 ? 16u : 4u) &&
		    same_network(s, (const uint8_t *)answer->records[i].data.ptr, term))
			return true;
	return false;
}

/* --- validated names (§5.5): PTR records whose names have the client's address --- */

static const struct dns_answer *ask_ptr(struct state *s)
{
	char name[80];
	int len = 0;

	if (s->asked_ptr)
		return &s->ptr;
	s->asked_ptr = true;
	if (s->names.v6) {
		for (int i = 15; i >= 0; i--)
			len += snprintf(name + len, sizeof(name) - (size_t)len, "%x.%x.",
					s->names.address[i] & 15, s->names.address[i] >> 4);
		snprintf(name + len, sizeof(name) - (size_t)len, "ip6.arpa");
	} else {
		snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", s->names.address[3],
			 s->names.address[2], s->names.address[1], s->names.address[0]);
	}
	authn_query(s->request->dns, slice_of(name), DNS_PTR, s->arena, &s->ptr);
	return &s->ptr;
}

static bool is_validated(struct state *s, struct slice name)
{
	static const struct spf_term exact = {.prefix4 = 32, .prefix6 = 128};
	struct dns_answer answer;

	authn_query(s->request->dns, name, address_type(s), s->arena, &answer);
	return has_address(s, &answer, &exact);
}

static bool is_below(struct slice name, struct slice domain)
{
	return name.len > domain.len + 1 && slice_ends_nocase(name, domain) &&
	       name.ptr[name.len - domain.len - 1] == '.';
}

/* How well a name answers for the domain: 3 is it, 2 lies below it, 1 is any. */
static int closeness(struct slice name, struct slice domain)
{
	if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	return slice_eq_nocase(name, domain) ? 3 : is_below(name, domain) ? 2 : 1;
}

/* The validated name that is closest to the domain, of those that are at least `least`. */
static struct slice find_validated(struct state *s, struct slice domain, int least)
{
	const struct dns_answer *ptr = ask_ptr(s);
	size_t count = ptr->count < NAMES_MAX ? ptr->count : NAMES_MAX;

	for (int want = 3; want >= least; want--)
		for (size_t i = 0; i < count; i++)
			if (closeness(ptr->records[i].name, domain) == want &&
			    is_validated(s, ptr->records[i].name))
				return ptr->records[i].name;
	return SLICE_NONE;
}

static struct slice validated_name(void *context)
{
	struct state *s = context;

	if (!s->has_validated) {
		s->validated = find_validated(s, s->names.domain, 1);
		s->has_validated = true;
	}
	return s->validated.len ? s->validated : SLICE("unknown");
}

/* --- terms --- */

/* The domain of a term, expanded; too long ones lose labels at the front (§7.3).  False: the
 * evaluation is over. */
static bool target(struct state *s, struct slice spec, struct slice *name)
{
	struct str out = {0};

	if (spec.len == 0) {
		*name = s->names.domain;
		return true;
	}
	if (!spf_macro_expand(spec, SPF_MACRO_DOMAIN, &s->names, &out)) {
		str_free(&out);
		return stop(s, SPF_PERMERROR, "a domain with macros is too long");
	}
	*name = arena_slice(s->arena, str_slice(&out));
	str_free(&out);
	while (name->len > 253) {
		ptrdiff_t dot = slice_find(*name, '.');

		if (dot < 0)
			break;
		*name = slice_sub(*name, (size_t)dot + 1, name->len);
	}
	return true;
}

static bool match_mx(struct state *s, const struct spf_term *term, struct slice name)
{
	struct dns_answer mx, addresses;

	if (!ask(s, name, DNS_MX, &mx))
		return false;
	if (mx.count > NAMES_MAX)
		return stop(s, SPF_PERMERROR, "more than 10 MX records");
	for (size_t i = 0; i < mx.count; i++) {
		if (!ask(s, mx.records[i].name, address_type(s), &addresses))
			return false;
		if (has_address(s, &addresses, term))
			return true;
	}
	return false;
}

static enum spf_result evaluate(struct state *s, struct slice domain);

/* check_host of an included domain; *matches as §5.2's table says. */
static bool match_include(struct state *s, struct slice name)
{
	struct slice outer = s->names.domain, reason = s->answer->reason,
		     mechanism = s->answer->mechanism;
	enum spf_result result;

	s->depth++;
	s->includes++;
	result = evaluate(s, name);
	s->includes--;
	s->depth--;
	s->names.domain = outer;
	s->answer->mechanism = mechanism;
	if (s->final)
		return false;
	if (result == SPF_PERMERROR || result == SPF_NONE)
		return stop(s, SPF_PERMERROR,
			    arena_printf(s->arena, "%.*s, which is included, %s", SLICE_FMT(name),
					 result == SPF_NONE ? "has no SPF record"
							    : "has a malformed SPF record"));
	s->answer->reason = reason;
	return result == SPF_PASS;
}

static bool match_asking(struct state *s, const struct spf_term *term)
{
	struct dns_answer answer;
	struct slice name;

	if (!count_lookup(s) || !target(s, term->domain, &name))
		return false;
	switch (term->mechanism) {
	case SPF_INCLUDE:
		note(s, term->text, "asks");
		return match_include(s, name);
	case SPF_A:
		return ask(s, name, address_type(s), &answer) && has_address(s, &answer, term);
	case SPF_MX:
		return match_mx(s, term, name);
	case SPF_PTR:
		return find_validated(s, name, 2).len > 0;
	default:
		return ask(s, name, DNS_A, &answer) && answer.count > 0;
	}
}

static bool matches(struct state *s, const struct spf_term *term)
{
	switch (term->mechanism) {
	case SPF_ALL:
		return true;
	case SPF_IP4:
		return !s->names.v6 && same_network(s, term->network, term);
	case SPF_IP6:
		return s->names.v6 && same_network(s, term->network, term);
	default:
		return match_asking(s, term);
	}
}

/* --- explanations (§6.2): whatever goes wrong, there is none --- */

static void explain(struct state *s, struct slice spec)
{
	struct dns_answer answer;
	struct str text = {0};
	struct slice name;
	bool was_final = s->final;

	if (spec.len == 0 || !target(s, spec, &name)) {
		s->final = was_final;
		return;
	}
	authn_query(s->request->dns, name, DNS_TXT, s->arena, &answer);
	if (answer.status == DNS_OK && answer.count == 1 &&
	    spf_macro_expand(answer.records[0].data, SPF_MACRO_EXPLANATION, &s->names, &text) &&
	    text.len > 0 && text.len <= EXPLANATION_MAX) {
		s->answer->explanation = arena_slice(s->arena, str_slice(&text));
		s->answer->own_explanation = true;
	}
	str_free(&text);
}

/* --- check_host --- */

/* 1: the record; 0: none; -1: *result says why not. */
static int find_record(struct state *s, struct slice domain, struct slice *text,
		       enum spf_result *result)
{
	struct dns_answer answer;
	size_t count = 0;

	*result = SPF_NONE;
	authn_query(s->request->dns, domain, DNS_TXT, s->arena, &answer);
	if (authn_dns_failed(&answer)) {
		stop(s, *result = SPF_TEMPERROR,
		     arena_printf(s->arena, "no answer now for TXT of %.*s", SLICE_FMT(domain)));
		return -1;
	}
	for (size_t i = 0; i < answer.count; i++)
		if (spf_is_record(answer.records[i].data)) {
			*text = answer.records[i].data;
			count++;
		}
	if (count > 1) {
		*result = SPF_PERMERROR;
		set_reason(s, arena_printf(s->arena, "%.*s has %zu SPF records", SLICE_FMT(domain),
					   count));
		return -1;
	}
	if (count == 0)
		set_reason(s, arena_printf(s->arena, "%.*s has no SPF record", SLICE_FMT(domain)));
	return (int)count;
}

static enum spf_result follow_redirect(struct state *s, const struct spf_record *record)
{
	struct slice name;
	enum spf_result result;

	if (!count_lookup(s) || !target(s, record->redirect, &name))
		return s->final_result;
	note(s,
	     arena_slice(s->arena, slice_of(arena_printf(s->arena, "redirect=%.*s",
							 SLICE_FMT(record->redirect)))),
	     "asks");
	s->depth++;
	result = evaluate(s, name);
	s->depth--;
	if (s->final)
		return s->final_result;
	return result == SPF_NONE ? SPF_PERMERROR : result;
}

static enum spf_result walk(struct state *s, const struct spf_record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *term = &record->terms[i];
		bool match = matches(s, term);

		if (s->final) {
			note(s, term->text, arena_cstr(s->arena, s->answer->reason));
			return s->final_result;
		}
		note(s, term->text, match ? "matches" : "does not match");
		if (!match)
			continue;
		s->answer->mechanism = term->text;
		if (term->result == SPF_FAIL && s->includes == 0)
			explain(s, record->exp);
		return term->result;
	}
	if (record->redirect.len > 0)
		return follow_redirect(s, record);
	s->answer->mechanism = SLICE("default");
	return SPF_NEUTRAL;
}

static enum spf_result evaluate(struct state *s, struct slice domain)
{
	struct spf_record record;
	struct slice text;
	enum spf_result result;
	struct err err;

	if (!authn_domain_full(domain)) {
		set_reason(s, "the domain is malformed");
		return SPF_NONE;
	}
	s->names.domain = domain;
	if (find_record(s, domain, &text, &result) != 1)
		return result;
	if (s->answer->record.len == 0)
		s->answer->record = text;
	note(s, SLICE_NONE, arena_cstr(s->arena, text));
	if (!spf_record_parse(text, s->arena, &record, &err)) {
		set_reason(s, arena_printf(s->arena, "SPF record of %.*s: %s", SLICE_FMT(domain),
					   err.text));
		note(s, SLICE_NONE, err.code ? arena_strdup(s->arena, err.text) : "");
		return SPF_PERMERROR;
	}
	return walk(s, &record);
}

/* --- the question --- */

static bool read_address(struct state *s)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const char *text = arena_cstr(s->arena, s->request->address);

	if (inet_pton(AF_INET, text, s->names.address) == 1)
		return true;
	if (inet_pton(AF_INET6, text, s->names.address) != 1)
		return false;
	s->names.v6 = memcmp(s->names.address, mapped, sizeof(mapped)) != 0;
	if (!s->names.v6)
		memmove(s->names.address, s->names.address + 12, 4);
	return true;
}

static void read_sender(struct state *s)
{
	const struct spf_request *r = s->request;
	ptrdiff_t at = slice_rfind(r->sender, '@');

	s->names.helo = r->helo;
	s->names.receiver = r->receiver;
	s->names.local = at > 0 ? slice_sub(r->sender, 0, (size_t)at) : SLICE("postmaster");
	s->names.sender_domain =
	    r->sender.len == 0 ? r->helo : slice_sub(r->sender, (size_t)(at + 1), r->sender.len);
	s->names.sender = slice_of(arena_printf(s->arena, "%.*s@%.*s", SLICE_FMT(s->names.local),
						SLICE_FMT(s->names.sender_domain)));
	s->names.domain = s->names.sender_domain;
}

void spf_check(const struct spf_request *request, struct arena *arena, struct spf_answer *answer)
{
	struct state s = {.request = request, .arena = arena, .answer = answer};

	*answer = (struct spf_answer){0};
	s.last_step = &answer->steps;
	s.names.when = (uint64_t)time(NULL);
	s.names.validated = validated_name;
	s.names.context = &s;
	read_sender(&s);
	answer->domain = s.names.sender_domain;
	if (!read_address(&s)) {
		answer->reason = SLICE("the client has no address of the internet");
		return;
	}
	answer->result = evaluate(&s, s.names.sender_domain);
	if (s.final)
		answer->result = s.final_result;
	if (answer->result == SPF_FAIL && answer->explanation.len == 0)
		answer->explanation =
		    slice_of(arena_printf(arena, "%.*s does not allow %.*s to send its mail",
					  SLICE_FMT(answer->domain), SLICE_FMT(request->address)));
	if (answer->result != SPF_FAIL)
		answer->explanation = SLICE_NONE;
	if (answer->reason.len == 0)
		answer->reason =
		    slice_of(arena_printf(arena, "%.*s by %.*s", SLICE_FMT(answer->domain),
					  SLICE_FMT(answer->mechanism)));
}
