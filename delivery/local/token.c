/* SPDX-License-Identifier: ISC */
#include "delivery/local/token.h"

#include "common/base/str.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* To the comma or the end of the line (left there) that stands outside quotes, comments and brackets. */
static struct slice take_element(struct slice *rest)
{
	int comment = 0;
	bool quoted = false, bracket = false;
	size_t i = 0;

	for (; i < rest->len && rest->ptr[i] != '\n'; i++) {
		char c = rest->ptr[i];

		if (c == '\\' && i + 1 < rest->len && rest->ptr[i + 1] != '\n')
			i++;
		else if (c == '"' && comment == 0)
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '(')
			comment++;
		else if (c == ')' && comment > 0)
			comment--;
		else if (comment == 0 && (c == '<' || c == '>'))
			bracket = c == '<';
		else if (comment == 0 && !bracket && c == ',')
			break;
	}
	struct slice element = slice_sub(*rest, 0, i);

	*rest = slice_sub(*rest, i, rest->len);
	return slice_trim(element);
}

static void skip_comments(struct slice *rest)
{
	struct slice line, look = *rest;

	for (;;) {
		size_t blanks = 0;

		while (blanks < look.len && is_blank(look.ptr[blanks]))
			blanks++;
		if (blanks == look.len || look.ptr[blanks] != '#')
			break;
		slice_cut(&look, '\n', &line);
		*rest = look;
	}
}

/* Without quotes: what stands in them stays together, and "\x" in them is x. */
static struct slice unquote(struct slice text, bool to_blank, struct arena *arena)
{
	struct str out = { 0 };
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (to_blank && !quoted && (is_blank(text.ptr[i]) || text.ptr[i] == '\n'))
			break;
		if (quoted && text.ptr[i] == '\\' && i + 1 < text.len)
			i++;
		/* A path and a command are C strings later. */
		if (text.ptr[i] != '\0')
			str_append_byte(&out, text.ptr[i]);
	}
	text = arena_slice(arena, slice_trim(str_slice(&out)));
	str_free(&out);
	return text;
}

static struct slice without(struct slice text, size_t prefix)
{
	return slice_trim(slice_sub(text, prefix, text.len));
}

bool token_next(struct slice *rest, struct arena *arena, struct token *token)
{
	static const struct slice include = { ":include:", 9 };
	struct slice element = SLICE_NONE;

	while (element.len == 0 && rest->len > 0) {
		bool at_line = rest->ptr[0] != ',';

		if (!at_line || rest->ptr[0] == '\n')
			*rest = slice_sub(*rest, 1, rest->len);
		if (at_line)
			skip_comments(rest);
		element = take_element(rest);
	}
	if (element.len == 0)
		return false;
	/* "|cmd": the quote stands before what tells the type */
	struct slice inner = element.ptr[0] == '"' ? slice_sub(element, 1, element.len) : element;

	if (inner.len > 0 && inner.ptr[0] == '|')
		*token = (struct token){ TOKEN_COMMAND, without(unquote(element, false, arena), 1) };
	else if (inner.len > 0 && inner.ptr[0] == '/')
		*token = (struct token){ TOKEN_FILE, unquote(element, true, arena) };
	else if (slice_starts_nocase(inner, include))
		*token = (struct token){ TOKEN_INCLUDE, without(unquote(element, true, arena), include.len) };
	else
		*token = (struct token){ TOKEN_ADDRESSES, element };
	return true;
}
