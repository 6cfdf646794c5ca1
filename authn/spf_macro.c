/* SPDX-License-Identifier: ISC */
/* Macro strings (RFC 7208 §7). */
#include <arpa/inet.h>

#include "authn/spf_record.h"

#define PARTS_MAX 130 /* 64 nibbles and their likes; a name has 127 labels at most */

struct macro {
	struct slice literal; /* this text, when letter is 0 */
	char letter;          /* lower case */
	bool escape;          /* the letter was upper case */
	bool reverse;
	unsigned keep;           /* 0: all parts */
	struct slice delimiters; /* empty: "." */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What stands between "%{" and "}". */
static bool parse_macro(struct slice body, enum spf_macro_kind kind, struct macro *m)
{
	const char *letters = kind == SPF_MACRO_EXPLANATION ? "slodiphvcrt" : "slodiphv";
	size_t at = 1;

	if (body.len == 0 || !is_alpha(body.ptr[0]))
		return false;
	m->escape = body.ptr[0] <= 'Z';
	m->letter = m->escape ? (char)(body.ptr[0] + 'a' - 'A') : body.ptr[0];
	if (!strchr(letters, m->letter))
		return false;
	for (; at < body.len && is_digit(body.ptr[at]); at++)
		m->keep = m->keep > 1000 ? 1000 : m->keep * 10 + (unsigned)(body.ptr[at] - '0');
	if (at > 1 && m->keep == 0)
		return false;
	if (at < body.len && (body.ptr[at] == 'r' || body.ptr[at] == 'R')) {
		m->reverse = true;
		at++;
	}
	m->delimiters = slice_sub(body, at, body.len);
	for (size_t i = 0; i < m->delimiters.len; i++)
		if (!m->delimiters.ptr[i] || !strchr(".-+,/_=", m->delimiters.ptr[i]))
			return false;
	return true;
}

/* 1: the next piece; 0: the end; -1: malformed. */
static int next_piece(struct slice *rest, enum spf_macro_kind kind, struct macro *m)
{
	ptrdiff_t end;
	size_t len = 0;

	*m = (struct macro){0};
	if (rest->len == 0)
		return 0;
	while (len < rest->len && rest->ptr[len] != '%') {
		unsigned char c = (unsigned char)rest->ptr[len++];

		if ((c < '!' && !(c == ' ' && kind == SPF_MACRO_EXPLANATION)) || c > '~')
			return -1;
	}
	if (len > 0) {
		m->literal = slice_sub(*rest, 0, len);
		*rest = slice_sub(*rest, len, rest->len);
		return 1;
	}
	if (rest->len < 2)
		return -1;
	switch (rest->ptr[1]) {
	case '%':
		m->literal = SLICE("%");
		break;
	case '_':
		m->literal = SLICE(" ");
		break;
	case '-':
		m->literal = SLICE("%20");
		break;
	case '{':
		end = slice_find(*rest, '}');
		if (end < 0 || !parse_macro(slice_sub(*rest, 2, (size_t)end - 2), kind, m))
			return -1;
		*rest = slice_sub(*rest, (size_t)end + 1, rest->len);
		return 1;
	default:
		return -1;
	}
	*rest = slice_sub(*rest, 2, rest->len);
	return 1;
}

/* toplabel: letters, digits and hyphens, not all digits, no hyphen at the ends. */
static bool is_top_label(struct slice label)
{
	bool all_digits = true;

	for (size_t i = 0; i < label.len; i++) {
		char c = label.ptr[i];

		if (!is_digit(c) && !is_alpha(c) && c != '-')
			return false;
		all_digits = all_digits && is_digit(c);
	}
	return label.len > 0 && !all_digits && label.ptr[0] != '-' &&
	       label.ptr[label.len - 1] != '-';
}

static bool ends_in_domain(struct slice text, const char *last_literal)
{
	ptrdiff_t dot;

	if (!last_literal)
		return true; /* the last piece is a macro */
	text = slice_make(last_literal, (size_t)(text.ptr + text.len - last_literal));
	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	dot = slice_rfind(text, '.');
	return dot >= 0 && is_top_label(slice_sub(text, (size_t)dot + 1, text.len));
}

bool spf_macro_valid(struct slice text, enum spf_macro_kind kind)
{
	const char *last_literal = NULL;
	struct slice rest = text;
	struct macro m;
	int more;

	while ((more = next_piece(&rest, kind, &m)) > 0) {
		bool inside = m.literal.len > 0 && m.literal.ptr >= text.ptr &&
			      m.literal.ptr < text.ptr + text.len;

		last_literal = inside ? m.literal.ptr : NULL;
	}
	if (more < 0)
		return false;
	return kind != SPF_MACRO_DOMAIN || (text.len > 0 && ends_in_domain(text, last_literal));
}

/* --- expansion --- */

static void dotted_nibbles(struct str *out, const uint8_t address[16])
{
	for (int i = 0; i < 16; i++)
		str_printf(out, "%s%X.%X", i ? "." : "", address[i] >> 4, address[i] & 15);
}

static void plain_address(struct str *out, const struct spf_names *names)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(names->v6 ? AF_INET6 : AF_INET, names->address, text, sizeof(text));
	str_append_text(out, text);
}

static void macro_value(struct str *out, char letter, const struct spf_names *names)
{
	switch (letter) {
	case 's':
		str_append(out, names->sender);
		break;
	case 'l':
		str_append(out, names->local);
		break;
	case 'o':
		str_append(out, names->sender_domain);
		break;
	case 'd':
		str_append(out, names->domain);
		break;
	case 'i':
		if (names->v6)
			dotted_nibbles(out, names->address);
		else
			plain_address(out, names);
		break;
	case 'p':
		str_append(out,
			   names->validated ? names->validated(names->context) : SLICE("unknown"));
		break;
	case 'v':
		str_append_text(out, names->v6 ? "ip6" : "in-addr");
		break;
	case 'h':
		str_append(out, names->helo);
		break;
	case 'c':
		plain_address(out, names);
		break;
	case 'r':
		str_append(out, names->receiver.len ? names->receiver : SLICE("unknown"));
		break;
	case 't':
		str_printf(out, "%llu", (unsigned long long)names->when);
		break;
	}
}

static void append_part(struct str *out, struct slice part, bool escape)
{
	for (size_t i = 0; i < part.len; i++) {
		char c = part.ptr[i];

		if (!escape || is_alpha(c) || is_digit(c) || (c && strchr("-._~", c)))
			str_append_byte(out, c);
		else
			str_printf(out, "%%%02X", (unsigned char)c);
	}
}

/* Splits, turns round, keeps the last parts, joins with dots. */
static void transform(struct str *out, struct slice value, const struct macro *m)
{
	struct slice parts[PARTS_MAX];
	struct slice delimiters = m->delimiters.len ? m->delimiters : SLICE(".");
	size_t count = 0, start = 0, first;

	for (size_t i = 0; i <= value.len && count < PARTS_MAX; i++)
		if (i == value.len || slice_find(delimiters, value.ptr[i]) >= 0) {
			parts[count++] = slice_sub(value, start, i - start);
			start = i + 1;
		}
	first = m->keep && m->keep < count ? count - m->keep : 0;
	for (size_t i = first; i < count; i++) {
		/* Reversed first, then cut: the last `keep` of the reversed are the first of the
		 * plain. */
		const struct slice *part = m->reverse ? &parts[count - 1 - i] : &parts[i];

		if (i > first)
			str_append_byte(out, '.');
		append_part(out, *part, m->escape);
	}
}

bool spf_macro_expand(struct slice text, enum spf_macro_kind kind, const struct spf_names *names,
		      struct str *out)
{
	struct str value = {0};
	struct macro m;
	int more;

	while ((more = next_piece(&text, kind, &m)) > 0 && out->len <= SPF_EXPANSION_MAX) {
		if (!m.letter) {
			str_append(out, m.literal);
			continue;
		}
		str_clear(&value);
		macro_value(&value, m.letter, names);
		transform(out, str_slice(&value), &m);
	}
	str_free(&value);
	return more == 0 && out->len <= SPF_EXPANSION_MAX;
}
