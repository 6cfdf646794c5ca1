/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "common/mail/address.h"

#define LOCAL_MAX  255   /* RFC 5321 says 64; real addresses are longer */
#define DOMAIN_MAX 255
#define LIST_MAX   10000

static bool is_atext(unsigned char c)
{
	return c > 127 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool address_is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] > 127)
			return false;
	return true;
}

bool address_valid_utf8(struct slice text)
{
	for (size_t i = 0; i < text.len;) {
		unsigned char c = (unsigned char)text.ptr[i];
		size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 :
			     c >= 0xf0 && c < 0xf5 ? 4 : 0;

		if (len == 0 || len > text.len - i)
			return false;
		for (size_t j = 1; j < len; j++)
			if (((unsigned char)text.ptr[i + j] & 0xc0) != 0x80)
				return false;
		unsigned char second = len > 1 ? (unsigned char)text.ptr[i + 1] : 0;

		if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
		    (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
			return false;
		i += len;
	}
	return true;
}

/* --- splitting --- */

void address_split(struct slice address, struct slice *local, struct slice *domain)
{
	ptrdiff_t at = slice_rfind(address, '@');

	*local = at < 0 ? address : slice_sub(address, 0, (size_t)at);
	*domain = at < 0 ? SLICE("") : slice_sub(address, (size_t)at + 1, address.len);
}

bool address_split_extension(struct slice local, const char *delimiters, struct slice *user,
			     struct slice *extension)
{
	*user = local;
	*extension = SLICE("");
	if (!delimiters || !*delimiters || slice_eq_nocase(local, SLICE("mailer-daemon")) ||
	    slice_eq_nocase(local, SLICE("postmaster")) || slice_eq_nocase(local, SLICE("double-bounce")))
		return false;
	if (strchr(delimiters, '-') &&
	    (slice_starts_nocase(local, SLICE("owner-")) || slice_ends_nocase(local, SLICE("-request"))))
		return false;
	for (size_t i = 1; i < local.len; i++) {
		if (strchr(delimiters, local.ptr[i]) == NULL || local.ptr[i] == '\0')
			continue;
		*user = slice_sub(local, 0, i);
		*extension = slice_sub(local, i + 1, local.len);
		return true;
	}
	return false;
}

/* --- names and literals --- */

bool address_valid_literal(struct slice text)
{
	unsigned char raw[16];
	char buf[64];

	if (text.len < 3 || text.len >= sizeof(buf) || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']' ||
	    slice_find(text, '\0') >= 0)
		return false;
	text = slice_sub(text, 1, text.len - 2);
	bool v6 = slice_starts_nocase(text, SLICE("IPv6:"));

	if (v6)
		text = slice_sub(text, 5, text.len);
	snprintf(buf, sizeof(buf), "%.*s", SLICE_FMT(text));
	return inet_pton(v6 ? AF_INET6 : AF_INET, buf, raw) == 1;
}

static bool valid_label(struct slice label)
{
	if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.ptr[i];

		if (!(c > 127 || c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		      (c >= 'A' && c <= 'Z')))
			return false;
	}
	return true;
}

bool address_valid_hostname(struct slice name)
{
	struct slice label;
	bool more = true;

	if (name.len == 0 || name.len > DOMAIN_MAX)
		return false;
	while (more) {
		more = slice_cut(&name, '.', &label);
		if (!valid_label(label))
			return false;
	}
	return true;
}

/* --- RFC 5321 paths --- */

/* A local part at the front of *s: dot-atom or quoted string, unquoted into *out. */
static bool take_local(struct slice *s, struct str *out, struct err *err)
{
	size_t i = 0;

	if (s->len > 0 && s->ptr[0] == '"') {
		for (i = 1; i < s->len && s->ptr[i] != '"'; i++) {
			if (s->ptr[i] == '\\' && ++i >= s->len)
				break;
			unsigned char c = (unsigned char)s->ptr[i];

			if (c < 32 || c == 127)
				return err_set(err, ERR_SYNTAX, "control character in address");
			str_append_byte(out, s->ptr[i]);
		}
		if (i >= s->len)
			return err_set(err, ERR_SYNTAX, "unbalanced quote");
		i++;
	} else {
		while (i < s->len && (is_atext((unsigned char)s->ptr[i]) || s->ptr[i] == '.'))
			i++;
		str_append(out, slice_sub(*s, 0, i));
	}
	*s = slice_sub(*s, i, s->len);
	if (out->len == 0)
		return err_set(err, ERR_SYNTAX, "empty local part");
	return out->len <= LOCAL_MAX || err_set(err, ERR_LIMIT, "local part too long");
}

/* "@domain" at the front of *s, if there is one. */
static bool take_domain(struct slice *s, struct str *out, struct err *err)
{
	size_t i = 1;
	struct slice domain;

	if (s->len == 0 || s->ptr[0] != '@')
		return true;
	if (s->len > 1 && s->ptr[1] == '[') {
		while (i < s->len && s->ptr[i] != ']')
			i++;
		i++;
		domain = slice_sub(*s, 1, i - 1);
		if (i > s->len || !address_valid_literal(domain))
			return err_set(err, ERR_SYNTAX, "bad address literal");
	} else {
		while (i < s->len && (is_atext((unsigned char)s->ptr[i]) || s->ptr[i] == '.') &&
		       s->ptr[i] != '>')
			i++;
		domain = slice_sub(*s, 1, i - 1);
		if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
			domain = slice_sub(domain, 0, domain.len - 1);
		if (!address_valid_hostname(domain))
			return err_set(err, ERR_SYNTAX, "bad domain");
	}
	str_append_byte(out, '@');
	str_append(out, domain);
	*s = slice_sub(*s, i, s->len);
	return true;
}

/* "@one,@two:" is dropped (RFC 5321 appendix C). */
static void drop_source_route(struct slice *s)
{
	ptrdiff_t colon;

	if (s->len == 0 || s->ptr[0] != '@')
		return;
	colon = slice_find(*s, ':');
	if (colon > 0)
		*s = slice_sub(*s, (size_t)colon + 1, s->len);
}

bool address_parse_path(struct slice input, bool strict, bool utf8, struct arena *arena,
			struct slice *address, struct slice *rest, struct err *err)
{
	struct slice s = slice_trim(input);
	struct str out = { 0 };
	bool bracketed = s.len > 0 && s.ptr[0] == '<', ok;

	if (!bracketed && strict)
		return err_set(err, ERR_SYNTAX, "missing <");
	if (bracketed)
		s = slice_sub(s, 1, s.len);
	if (bracketed && s.len > 0 && s.ptr[0] == '>') {
		s = slice_sub(s, 1, s.len);
		if (s.len > 0 && s.ptr[0] != ' ' && s.ptr[0] != '\t')
			return err_set(err, ERR_SYNTAX, "garbage after address");
		*address = SLICE("");
		*rest = slice_trim(s);
		return true;
	}
	drop_source_route(&s);
	ok = take_local(&s, &out, err) && take_domain(&s, &out, err);
	if (ok && bracketed) {
		ok = s.len > 0 && s.ptr[0] == '>';
		if (!ok)
			err_set(err, ERR_SYNTAX, "missing >");
		s = slice_sub(s, 1, s.len);
	}
	if (ok && s.len > 0 && s.ptr[0] != ' ' && s.ptr[0] != '\t')
		ok = err_set(err, ERR_SYNTAX, "garbage after address");
	if (ok && slice_rfind(str_slice(&out), '@') == 0) /* <"@domain"> */
		ok = err_set(err, ERR_SYNTAX, "empty local part");
	if (ok && !address_is_ascii(str_slice(&out)))
		ok = (utf8 && address_valid_utf8(str_slice(&out))) ||
		     err_set(err, ERR_SYNTAX, "address is not ASCII");
	if (ok) {
		*address = arena_slice(arena, str_slice(&out));
		*rest = slice_trim(s);
	}
	str_free(&out);
	return ok;
}

/* --- quoting --- */

static bool needs_quotes(struct slice local)
{
	if (local.len == 0 || local.ptr[0] == '.' || local.ptr[local.len - 1] == '.')
		return true;
	for (size_t i = 0; i < local.len; i++) {
		if (local.ptr[i] == '.' && i > 0 && local.ptr[i - 1] == '.')
			return true;
		if (local.ptr[i] != '.' && !is_atext((unsigned char)local.ptr[i]))
			return true;
	}
	return false;
}

/* Could end a path, or start something else behind it: no domain, whatever stands before it. */
static bool safe_domain(struct slice domain)
{
	for (size_t i = 0; i < domain.len; i++)
		if (domain.ptr[i] != '.' && !is_atext((unsigned char)domain.ptr[i]))
			return address_valid_literal(domain);
	return true;
}

struct slice address_quote(struct arena *arena, struct slice address)
{
	struct slice local, domain;
	struct str out = { 0 };

	address_split(address, &local, &domain);
	/* <"a@b> SIZE=1"> is an address too: all of it is local part then. */
	if (domain.len == 0 || !safe_domain(domain)) {
		local = address;
		domain = SLICE("");
	}
	if (address.len == 0 || !needs_quotes(local))
		return address;
	str_append_byte(&out, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.ptr[i] == '"' || local.ptr[i] == '\\')
			str_append_byte(&out, '\\');
		str_append_byte(&out, local.ptr[i]);
	}
	str_append_byte(&out, '"');
	if (domain.len > 0) {
		str_append_byte(&out, '@');
		str_append(&out, domain);
	}
	struct slice quoted = arena_slice(arena, str_slice(&out));

	str_free(&out);
	return quoted;
}

/* --- RFC 5322 lists --- */

struct list_parser {
	struct slice s;
	struct arena *arena;
	struct address_list *list;
	size_t capacity;
	struct str phrase;   /* words seen so far in this mailbox */
	struct str spec;     /* the same without spaces: an address without brackets */
	struct err *err;
};

static bool add_address(struct list_parser *p, struct slice address)
{
	struct address_list *list = p->list;

	if (address.len == 0)
		return true;
	if (list->count >= LIST_MAX)
		return err_set(p->err, ERR_LIMIT, "more than %d addresses", LIST_MAX);
	if (list->count == p->capacity) {
		size_t bigger = p->capacity ? p->capacity * 2 : 8;
		struct slice *addresses = arena_alloc(p->arena, bigger * sizeof(struct slice));
		struct slice *phrases = arena_alloc(p->arena, bigger * sizeof(struct slice));

		if (list->count) {
			memcpy(addresses, list->address, list->count * sizeof(struct slice));
			memcpy(phrases, list->phrase, list->count * sizeof(struct slice));
		}
		list->address = addresses;
		list->phrase = phrases;
		p->capacity = bigger;
	}
	list->address[list->count] = arena_slice(p->arena, address);
	list->phrase[list->count++] = arena_slice(p->arena, slice_trim(str_slice(&p->phrase)));
	return true;
}

static bool skip_comment(struct list_parser *p)
{
	size_t depth = 0;

	for (size_t i = 0; i < p->s.len; i++) {
		if (p->s.ptr[i] == '\\')
			i++;
		else if (p->s.ptr[i] == '(')
			depth++;
		else if (p->s.ptr[i] == ')' && --depth == 0) {
			p->s = slice_sub(p->s, i + 1, p->s.len);
			return true;
		}
	}
	return err_set(p->err, ERR_SYNTAX, "unbalanced comment");
}

static bool take_angle(struct list_parser *p)
{
	ptrdiff_t end = -1;
	bool quoted = false;
	struct slice inside, address, rest;

	for (size_t i = 0; i < p->s.len && end < 0; i++) {
		if (p->s.ptr[i] == '\\' && quoted)
			i++;
		else if (p->s.ptr[i] == '"')
			quoted = !quoted;
		else if (p->s.ptr[i] == '>' && !quoted)
			end = (ptrdiff_t)i;
	}
	if (end < 0)
		return err_set(p->err, ERR_SYNTAX, "missing >");
	inside = slice_sub(p->s, 0, (size_t)end + 1);
	p->s = slice_sub(p->s, (size_t)end + 1, p->s.len);
	if (!address_parse_path(inside, true, true, p->arena, &address, &rest, p->err))
		return false;
	str_clear(&p->spec);
	bool ok = add_address(p, address);

	str_clear(&p->phrase);
	return ok;
}

/* A quoted string: as text into the phrase, unquoted into the address; folds and tabs are white space. */
static bool take_quoted(struct list_parser *p)
{
	size_t i = 1;

	while (i < p->s.len && p->s.ptr[i] != '"') {
		if (p->s.ptr[i] == '\\')
			i++;
		if (i >= p->s.len)
			break;
		unsigned char c = (unsigned char)p->s.ptr[i++];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '\t')
			c = ' ';
		if (c < 32 || c == 127)
			return err_set(p->err, ERR_SYNTAX, "control character in address");
		str_append_byte(&p->phrase, (char)c);
		str_append_byte(&p->spec, (char)c);
	}
	if (i >= p->s.len)
		return err_set(p->err, ERR_SYNTAX, "unbalanced quote");
	p->s = slice_sub(p->s, i + 1, p->s.len);
	return true;
}

static bool end_mailbox(struct list_parser *p)
{
	bool ok = true;

	if (p->spec.len > 0) {
		struct slice address = str_slice(&p->spec);

		str_clear(&p->phrase);
		ok = add_address(p, address);
	}
	str_clear(&p->spec);
	str_clear(&p->phrase);
	return ok;
}

static bool list_step(struct list_parser *p)
{
	char c = p->s.ptr[0];

	switch (c) {
	case '(':
		return skip_comment(p);
	case '<':
		return take_angle(p);
	case '"':
		return take_quoted(p);
	case ':': /* the name of a group */
		str_clear(&p->spec);
		str_clear(&p->phrase);
		break;
	case ',':
	case ';':
		p->s = slice_sub(p->s, 1, p->s.len);
		return end_mailbox(p);
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		str_append_byte(&p->phrase, ' ');
		break;
	default:
		if ((unsigned char)c < 32 || c == 127)
			return err_set(p->err, ERR_SYNTAX, "control character in address");
		str_append_byte(&p->phrase, c);
		str_append_byte(&p->spec, c);
	}
	p->s = slice_sub(p->s, 1, p->s.len);
	return true;
}

bool address_parse_list(struct slice value, struct arena *arena, struct address_list *list, struct err *err)
{
	struct list_parser p = { .s = value, .arena = arena, .list = list, .err = err };
	bool ok = true;

	*list = (struct address_list){ 0 };
	while (ok && p.s.len > 0)
		ok = list_step(&p);
	ok = ok && end_mailbox(&p);
	str_free(&p.phrase);
	str_free(&p.spec);
	return ok;
}
