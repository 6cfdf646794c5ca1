/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/config/main_cf.h"

#define DEPTH 50

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* --- lines --- */

bool main_cf_logical_line(struct slice *text, struct str *out, int *line, int *counter)
{
	bool started = false;

	str_clear(out);
	while (text->len > 0) {
		struct slice rest = *text, physical, trimmed;

		slice_cut(&rest, '\n', &physical);
		trimmed = slice_trim(physical);
		if (trimmed.len == 0 || trimmed.ptr[0] == '#') {
			/* Between the lines of an entry a comment does not end it. */
			*text = rest;
			++*counter;
			continue;
		}
		bool continued = physical.ptr[0] == ' ' || physical.ptr[0] == '\t';

		if (started && !continued)
			return true;
		*text = rest;
		++*counter;
		if (!started)
			*line = *counter;
		else
			str_append_byte(out, ' ');
		str_append(out, trimmed);
		started = true;
	}
	return started;
}

bool main_cf_parse(struct slice text, const char *path, struct arena *arena, struct main_cf_line **lines,
		   struct err *err)
{
	struct str logical = { 0 };
	int line = 0, counter = 0;
	bool ok = true;

	*lines = NULL;
	while (ok && main_cf_logical_line(&text, &logical, &line, &counter)) {
		struct main_cf_line *entry = arena_alloc(arena, sizeof(*entry));
		struct slice value = str_slice(&logical), name;

		ok = slice_cut(&value, '=', &name);
		name = slice_trim(name);
		for (size_t i = 0; i < name.len; i++)
			ok = ok && is_name_byte(name.ptr[i]);
		if (!ok || name.len == 0) {
			ok = err_set(err, ERR_SYNTAX, "%s, line %d: expected \"name = value\", found \"%.60s\"",
				     path, line, str_cstr(&logical));
			break;
		}
		entry->name = arena_slice(arena, name);
		entry->value = arena_slice(arena, slice_trim(value));
		entry->line = line;
		*lines = entry;
		lines = &entry->next;
	}
	str_free(&logical);
	return ok;
}

/* --- expansion --- */

struct expansion {
	main_cf_lookup *lookup;
	void *context;
	struct err *err;
	int depth;
};

static bool expand(struct expansion *x, struct slice value, struct str *out);

/* At an opening bracket: what is inside, and *s moves behind its partner. */
static bool take_bracket(struct slice *s, char open, char close, struct slice *inside)
{
	size_t depth = 0;

	for (size_t i = 0; i < s->len; i++) {
		if (s->ptr[i] == open)
			depth++;
		else if (s->ptr[i] == close && --depth == 0) {
			*inside = slice_sub(*s, 1, i - 1);
			*s = slice_sub(*s, i + 1, s->len);
			return true;
		}
	}
	return false;
}

static bool bad(struct expansion *x, const char *what, struct slice where)
{
	return err_set(x->err, ERR_SYNTAX, "%s in \"%.*s\"", what, SLICE_FMT(slice_sub(where, 0, 80)));
}

/* "{text}" with white space around it, expanded. */
static bool braced_operand(struct expansion *x, struct slice *s, struct str *out)
{
	struct slice inside;

	*s = slice_trim(*s);
	if (s->len == 0 || s->ptr[0] != '{' || !take_bracket(s, '{', '}', &inside))
		return bad(x, "expected {text}", *s);
	*s = slice_trim(*s);
	return expand(x, inside, out);
}

static bool compare(struct slice a, struct slice op, struct slice b, bool *result)
{
	int64_t m, n;
	int order = slice_to_i64(a, &m) && slice_to_i64(b, &n) ? (m > n) - (m < n) : slice_compare(a, b);

	if (slice_eq(op, SLICE("==")))
		*result = order == 0;
	else if (slice_eq(op, SLICE("!=")))
		*result = order != 0;
	else if (slice_eq(op, SLICE("<")))
		*result = order < 0;
	else if (slice_eq(op, SLICE("<=")))
		*result = order <= 0;
	else if (slice_eq(op, SLICE(">")))
		*result = order > 0;
	else if (slice_eq(op, SLICE(">=")))
		*result = order >= 0;
	else
		return false;
	return true;
}

/* "{a} == {b}" at the front of *s. */
static bool comparison(struct expansion *x, struct slice *s, bool *result)
{
	struct str a = { 0 }, b = { 0 };
	size_t op = 0;
	bool ok = braced_operand(x, s, &a);

	while (ok && op < s->len && strchr("=!<>", s->ptr[op]))
		op++;
	struct slice word = slice_sub(*s, 0, op);

	*s = slice_sub(*s, op, s->len);
	ok = ok && braced_operand(x, s, &b);
	if (ok && !compare(str_slice(&a), word, str_slice(&b), result))
		ok = bad(x, "unknown comparison", word);
	str_free(&a);
	str_free(&b);
	return ok;
}

/* After the condition: "?text", ":text", "?{x}:{y}", or nothing. */
static bool choose(struct expansion *x, struct slice s, bool condition, struct str *out)
{
	char mark = s.ptr[0];
	struct slice first, second = SLICE_NONE;

	s = slice_sub(s, 1, s.len);
	struct slice inner = slice_trim(s);

	first = s;
	if (inner.len > 0 && inner.ptr[0] == '{' && take_bracket(&inner, '{', '}', &first)) {
		inner = slice_trim(inner);
		if (inner.len > 0) {
			if (mark != '?' || inner.ptr[0] != ':')
				return bad(x, "unexpected text after }", inner);
			inner = slice_trim(slice_sub(inner, 1, inner.len));
			second = inner;
			if (inner.len > 0 && inner.ptr[0] == '{' && !take_bracket(&inner, '{', '}', &second))
				return bad(x, "missing }", inner);
		}
	}
	if (mark == ':')
		condition = !condition;
	return expand(x, condition ? first : second, out);
}

/* Inside ${…} or $(…). */
static bool expand_bracket(struct expansion *x, struct slice inside, struct str *out)
{
	struct slice s = inside;
	const char *value = NULL;
	size_t len = 0;
	bool condition = false;

	/* White space in front does not count; a text after "?" is as it stands. */
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_sub(s, 1, s.len);
	if (s.len > 0 && s.ptr[0] == '{') {
		if (!comparison(x, &s, &condition))
			return false;
		if (s.len == 0) {
			str_append(out, condition ? SLICE("bool_true") : SLICE(""));
			return true;
		}
	} else {
		while (len < s.len && is_name_byte(s.ptr[len]))
			len++;
		if (len == 0)
			return bad(x, "missing name", inside);
		value = x->lookup(x->context, slice_sub(s, 0, len));
		condition = value && *value;
		s = slice_sub(s, len, s.len);
		if (slice_trim(s).len == 0) {
			str_append_text(out, value);
			return true;
		}
	}
	while (s.ptr[0] == ' ' || s.ptr[0] == '\t')
		s = slice_sub(s, 1, s.len);
	if (s.ptr[0] != '?' && s.ptr[0] != ':')
		return bad(x, "unexpected character", inside);
	return choose(x, s, condition, out);
}

static bool expand(struct expansion *x, struct slice value, struct str *out)
{
	bool ok = true;

	if (++x->depth > DEPTH)
		return bad(x, "too deep", value);
	while (ok && value.len > 0) {
		ptrdiff_t at = slice_find(value, '$');
		struct slice inside;
		size_t len = 0;

		str_append(out, slice_sub(value, 0, at < 0 ? value.len : (size_t)at));
		if (at < 0)
			break;
		value = slice_sub(value, (size_t)at + 1, value.len);
		if (value.len > 0 && (value.ptr[0] == '{' || value.ptr[0] == '(')) {
			bool brace = value.ptr[0] == '{';

			if (!take_bracket(&value, brace ? '{' : '(', brace ? '}' : ')', &inside))
				ok = bad(x, "missing closing bracket", value);
			else
				ok = expand_bracket(x, inside, out);
			continue;
		}
		if (value.len > 0 && value.ptr[0] == '$') {
			str_append_byte(out, '$');
			value = slice_sub(value, 1, value.len);
			continue;
		}
		while (len < value.len && is_name_byte(value.ptr[len]))
			len++;
		if (len == 0)
			ok = bad(x, "\"$\" without a name", value);
		else
			str_append_text(out, x->lookup(x->context, slice_sub(value, 0, len)));
		value = slice_sub(value, len, value.len);
	}
	x->depth--;
	return ok;
}

bool main_cf_expand(struct slice value, main_cf_lookup *lookup, void *context, struct str *out,
		    struct err *err)
{
	struct expansion x = { lookup, context, err, 0 };

	return expand(&x, value, out);
}
