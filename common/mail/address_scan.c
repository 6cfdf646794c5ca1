/* SPDX-License-Identifier: ISC */
#include "common/mail/address_scan.h"

#define COMMENT_DEPTH 100

/* What is being read: its internal form, and where it stands. */
struct scanner {
	struct slice s;            /* the rest */
	const char *from, *to;     /* first and behind the last byte of the address; NULL: nothing yet */
	struct str address;
	bool quoted;
	bool word;                 /* the last token was a word, not an operator */
	bool gap;                  /* white space or a comment came since */
	bool bad;
	struct address_scan *scan;
};

static void skip(struct scanner *p, size_t len)
{
	p->s = slice_sub(p->s, len, p->s.len);
}

static void begin(struct scanner *p)
{
	p->from = p->to = NULL;
	str_clear(&p->address);
	p->quoted = p->word = p->gap = false;
}

static void skip_comment(struct scanner *p)
{
	size_t depth = 0;

	for (size_t i = 0; i < p->s.len; i++) {
		char c = p->s.ptr[i];

		if (c == '\\')
			i++;
		else if (c == '(' && ++depth > COMMENT_DEPTH)
			break;
		else if (c == ')' && --depth == 0) {
			skip(p, i + 1);
			p->gap = true;
			return;
		}
	}
	p->bad = true;
}

static void take(struct scanner *p, size_t len, bool word)
{
	if (!p->from)
		p->from = p->s.ptr;
	p->to = p->s.ptr + len;
	p->word = word;
	p->gap = false;
	skip(p, len);
}

static void take_quoted(struct scanner *p)
{
	size_t i = 1;

	while (i < p->s.len && p->s.ptr[i] != '"') {
		if (p->s.ptr[i] == '\\' && i + 1 < p->s.len)
			i++;
		if (p->s.ptr[i] != '\r' && p->s.ptr[i] != '\n')
			str_append_byte(&p->address, p->s.ptr[i]);
		i++;
	}
	if (i >= p->s.len) {
		p->bad = true;
		return;
	}
	p->quoted = true;
	take(p, i + 1, true);
}

static void take_literal(struct scanner *p)
{
	ptrdiff_t end = slice_find(p->s, ']');

	if (end < 0) {
		p->bad = true;
		return;
	}
	str_append(&p->address, slice_sub(p->s, 0, (size_t)end + 1));
	take(p, (size_t)end + 1, true);
}

static void take_atom(struct scanner *p)
{
	size_t i = 0;

	while (i < p->s.len && (unsigned char)p->s.ptr[i] > ' ' && p->s.ptr[i] != 127 &&
	       !strchr("()<>[]:;@\\,.\"", p->s.ptr[i]))
		i++;
	if (i == 0) {
		p->bad = true;
		return;
	}
	str_append(&p->address, slice_sub(p->s, 0, i));
	take(p, i, true);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One token inside or outside of brackets, none of those that end an address. */
static void take_token(struct scanner *p)
{
	char c = p->s.ptr[0];

	if (is_space(c)) {
		p->gap = true;
		skip(p, 1);
	} else if (c == '(') {
		skip_comment(p);
	} else if (c == '"') {
		take_quoted(p);
	} else if (c == '[') {
		take_literal(p);
	} else if (c == '@' || c == '.') {
		str_append_byte(&p->address, c);
		take(p, 1, false);
	} else {
		take_atom(p);
	}
}

/* "@one,@two:" inside of brackets leads nowhere any more. */
static void skip_route(struct scanner *p)
{
	ptrdiff_t colon = slice_find(p->s, ':'), end = slice_find(p->s, '>');

	while (p->s.len > 0 && is_space(p->s.ptr[0]))
		skip(p, 1);
	if (p->s.len > 0 && p->s.ptr[0] == '@' && colon > 0 && colon < end) {
		colon = slice_find(p->s, ':');
		skip(p, (size_t)colon + 1);
	}
}

static void take_brackets(struct scanner *p)
{
	skip(p, 1);
	begin(p); /* what came before was a name */
	skip_route(p);
	if (p->s.len > 0)
		p->from = p->to = p->s.ptr;
	bool any = false;

	while (!p->bad && p->s.len > 0 && p->s.ptr[0] != '>') {
		if (!any && !is_space(p->s.ptr[0]) && p->s.ptr[0] != '(') {
			p->from = NULL;
			any = true;
		}
		take_token(p);
	}
	if (p->s.len == 0)
		p->bad = true;
	skip(p, 1);
}

/* Behind "<…>" there may be comments, up to the comma. */
static void skip_to_comma(struct scanner *p)
{
	while (!p->bad && p->s.len > 0 && (is_space(p->s.ptr[0]) || p->s.ptr[0] == '(')) {
		if (p->s.ptr[0] == '(')
			skip_comment(p);
		else
			skip(p, 1);
	}
	if (p->s.len > 0 && (p->s.ptr[0] == ',' || p->s.ptr[0] == ';'))
		skip(p, 1);
}

/* Does "name <" or "name:" follow?  Then the words before are no addresses. */
static bool leads_to_name(const struct scanner *outer)
{
	struct scanner p = { .s = outer->s };
	bool name = false;

	if (outer->scan->known > outer->s.ptr)
		return outer->scan->named;
	while (!p.bad && p.s.len > 0 && !name) {
		char c = p.s.ptr[0];

		if (c == ',' || c == ';' || c == '>')
			break;
		name = c == '<' || c == ':';
		if (!name && c == '\\')
			skip(&p, 2);
		else if (!name)
			take_token(&p);
	}
	str_free(&p.address);
	outer->scan->known = p.bad ? outer->s.ptr + outer->s.len : p.s.ptr;
	outer->scan->named = name;
	return name;
}

/* True: an address is complete. */
static bool step(struct scanner *p, bool *null)
{
	char c = p->s.ptr[0];

	switch (c) {
	case '<':
		take_brackets(p);
		*null = !p->bad && p->address.len == 0;
		if (!p->bad)
			skip_to_comma(p);
		return true;
	case ',':
	case ';':
		skip(p, 1);
		return p->from != NULL;
	case ':': /* the name of a group */
		skip(p, 1);
		begin(p);
		return false;
	case '>':
	case ')':
	case ']':
		p->bad = true;
		return true;
	case '\\': /* in a name, where it should not be */
		skip(p, 2);
		return false;
	default:
		break;
	}
	if (p->word && p->gap && !is_space(c) && c != '(' && c != '@' && c != '.' && !leads_to_name(p))
		return true;
	take_token(p);
	return false;
}

int address_scan_next(struct address_scan *scan, struct arena *arena, struct address_place *place)
{
	struct scanner p = { .s = scan->rest, .scan = scan };
	bool complete = false, null = false;
	int found = 0;

	*place = (struct address_place){ 0 };
	while (!complete && !p.bad && p.s.len > 0)
		complete = step(&p, &null);
	scan->rest = SLICE_NONE;
	if (p.bad) {
		found = -1;
	} else if (p.from) {
		place->text = slice_make(p.from, (size_t)(p.to - p.from));
		place->address = arena_slice(arena, str_slice(&p.address));
		place->quoted = p.quoted;
		place->null = null;
		scan->rest = p.s;
		found = 1;
	}
	str_free(&p.address);
	return found;
}
