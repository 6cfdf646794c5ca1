/* SPDX-License-Identifier: ISC */
#include "authn/spf_record.h"

#include <arpa/inet.h>

#define VERSION "v=spf1"

static const struct {
	const char *name;
	enum spf_mechanism mechanism;
} mechanisms[] = {
    {"all", SPF_ALL}, {"include", SPF_INCLUDE}, {"a", SPF_A},     {"mx", SPF_MX},
    {"ptr", SPF_PTR}, {"ip4", SPF_IP4},         {"ip6", SPF_IP6}, {"exists", SPF_EXISTS},
};

bool spf_is_record(struct slice text)
{
	return slice_starts_nocase(text, SLICE(VERSION)) &&
	       (text.len == sizeof(VERSION) - 1 || text.ptr[sizeof(VERSION) - 1] == ' ');
}

static bool bad(struct err *err, struct slice term, const char *what)
{
	return err_set(err, ERR_SYNTAX, "%s in \"%.*s\"", what, SLICE_FMT(slice_sub(term, 0, 120)));
}

/* --- prefix lengths --- */

/* Takes "/digits" (or "//digits") off the end.  1: taken, 0: there is none, -1: malformed. */
static int take_prefix(struct slice *text, size_t slashes, unsigned max, unsigned *bits)
{
	size_t at = text->len;
	uint64_t value;

	while (at > 0 && text->ptr[at - 1] >= '0' && text->ptr[at - 1] <= '9')
		at--;
	if (at < slashes || at == text->len)
		return 0;
	for (size_t i = 1; i <= slashes; i++)
		if (text->ptr[at - i] != '/')
			return 0;
	struct slice digits = slice_sub(*text, at, text->len);

	if ((digits.len > 1 && digits.ptr[0] == '0') || !slice_to_u64(digits, &value) ||
	    value > max)
		return -1;
	*bits = (unsigned)value;
	text->len = at - slashes;
	return 1;
}

/* ip4-cidr-length and "//" ip6-cidr-length at the end of a and mx. */
static bool take_prefixes(struct slice *text, struct spf_term *term)
{
	return take_prefix(text, 2, 128, &term->prefix6) >= 0 &&
	       take_prefix(text, 1, 32, &term->prefix4) >= 0;
}

static bool parse_network(struct slice argument, struct spf_term *term)
{
	char text[INET6_ADDRSTRLEN];
	bool v6 = term->mechanism == SPF_IP6;
	int prefix = take_prefix(&argument, 1, v6 ? 128 : 32, v6 ? &term->prefix6 : &term->prefix4);

	if (prefix < 0 || argument.len == 0 || argument.len >= sizeof(text) ||
	    memchr(argument.ptr, 0, argument.len))
		return false;
	memcpy(text, argument.ptr, argument.len);
	text[argument.len] = '\0';
	return inet_pton(v6 ? AF_INET6 : AF_INET, text, term->network) == 1;
}

/* --- terms --- */

static bool find_mechanism(struct slice name, enum spf_mechanism *mechanism)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (slice_eq_nocase(name, slice_of(mechanisms[i].name))) {
			*mechanism = mechanisms[i].mechanism;
			return true;
		}
	return false;
}

static bool take_qualifier(struct slice *text, enum spf_result *result)
{
	static const enum spf_result results[] = {SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
	const char *place = text->len && text->ptr[0] ? strchr("+-~?", text->ptr[0]) : NULL;

	*result = SPF_PASS;
	if (!place)
		return false;
	*result = results[place - "+-~?"];
	*text = slice_sub(*text, 1, text->len);
	return true;
}

static bool parse_argument(struct slice word, struct slice argument, bool has_argument,
			   struct spf_term *term, struct err *err)
{
	switch (term->mechanism) {
	case SPF_ALL:
		return !has_argument || bad(err, word, "unexpected argument");
	case SPF_IP4:
	case SPF_IP6:
		return (has_argument && argument.ptr[0] == ':' &&
			parse_network(slice_sub(argument, 1, argument.len), term)) ||
		       bad(err, word, "malformed network");
	case SPF_A:
	case SPF_MX:
		if (!take_prefixes(&argument, term))
			return bad(err, word, "malformed prefix length");
		break;
	default:
		break;
	}
	if (argument.len == 0)
		return (term->mechanism != SPF_INCLUDE && term->mechanism != SPF_EXISTS) ||
		       bad(err, word, "no domain");
	term->domain = slice_sub(argument, 1, argument.len);
	return (argument.ptr[0] == ':' && spf_macro_valid(term->domain, SPF_MACRO_DOMAIN)) ||
	       bad(err, word, "malformed domain");
}

static bool parse_mechanism(struct slice word, struct slice text, struct spf_term *term,
			    struct err *err)
{
	size_t len = 0;

	while (len < text.len && text.ptr[len] != ':' && text.ptr[len] != '/')
		len++;
	term->text = word;
	term->prefix4 = 32;
	term->prefix6 = 128;
	if (!find_mechanism(slice_sub(text, 0, len), &term->mechanism))
		return bad(err, word, "unknown mechanism");
	return parse_argument(word, slice_sub(text, len, text.len), len < text.len, term, err);
}

/* Length of a modifier's name before '='; 0: it is a mechanism. */
static size_t modifier_name(struct slice word)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = word.ptr[i];
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '=')
			return i;
		if (!alpha &&
		    (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')))
			return 0;
	}
	return 0;
}

static bool parse_modifier(struct slice word, size_t name_len, struct spf_record *record,
			   struct err *err)
{
	struct slice name = slice_sub(word, 0, name_len),
		     value = slice_sub(word, name_len + 1, word.len);
	struct slice *place = slice_eq_nocase(name, SLICE("redirect")) ? &record->redirect
			      : slice_eq_nocase(name, SLICE("exp"))    ? &record->exp
								       : NULL;

	if (!place)
		return spf_macro_valid(value, SPF_MACRO_LIMB) || bad(err, word, "malformed macro");
	if (place->ptr)
		return bad(err, word, "a second modifier of the kind");
	*place = value;
	return spf_macro_valid(value, SPF_MACRO_DOMAIN) || bad(err, word, "malformed domain");
}

bool spf_record_parse(struct slice text, struct arena *arena, struct spf_record *record,
		      struct err *err)
{
	struct slice rest = slice_sub(text, sizeof(VERSION) - 1, text.len), word;
	size_t words = 0;

	*record = (struct spf_record){0};
	for (struct slice all = rest; slice_word(&all, " ", &word);)
		words++;
	record->terms = arena_alloc(arena, (words + 1) * sizeof(*record->terms));
	while (slice_word(&rest, " ", &word)) {
		struct slice body = word;
		struct spf_term *term = &record->terms[record->count];
		bool qualified = take_qualifier(&body, &term->result);
		size_t name_len = qualified ? 0 : modifier_name(word);

		if (name_len > 0) {
			if (!parse_modifier(word, name_len, record, err))
				return false;
			continue;
		}
		if (!parse_mechanism(word, body, term, err))
			return false;
		record->count++;
	}
	return true;
}
