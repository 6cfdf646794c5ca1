/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/network.h"
#include "tables/table.h"

enum pattern_kind { PATTERN_TEXT, PATTERN_SUBDOMAINS, PATTERN_NETWORK, PATTERN_TABLE };

struct pattern {
	struct pattern *next;
	enum pattern_kind kind;
	bool negated;
	struct slice text; /* without the leading dot of PATTERN_SUBDOMAINS */
	struct network network;
	struct table_list *table;
};

struct match_list {
	enum match_kind kind;
	struct arena *arena;
	struct pattern *first, **tail;
};

#define FILE_DEPTH 10

/* --- reading the patterns --- */

static bool add_words(struct match_list *list, struct slice words, int depth, struct err *err);

static bool add_file(struct match_list *list, struct slice path, int depth, struct err *err)
{
	char *name = arena_cstr(list->arena, path);
	char *line = NULL;
	size_t size = 0;
	bool ok = true;

	if (depth >= FILE_DEPTH)
		return err_set(err, ERR_SYNTAX, "%s: files name each other", name);
	FILE *f = fopen(name, "re");

	if (!f)
		return err_set_errno(err, ERR_TEMPORARY, "open %s", name);
	while (ok && getline(&line, &size, f) >= 0) {
		struct slice text = slice_trim(slice_of(line));

		if (text.len > 0 && text.ptr[0] != '#')
			ok = add_words(list, text, depth + 1, err);
	}
	free(line);
	fclose(f);
	return ok;
}

/* "type:name" but not "[::1]" or "::1". */
static bool is_table(struct slice word)
{
	ptrdiff_t colon = slice_find(word, ':');
	struct network n;

	if (colon <= 0 || word.ptr[0] == '[' || network_parse_address(word, &n))
		return false;
	for (ptrdiff_t i = 0; i < colon; i++)
		if (!((word.ptr[i] >= 'a' && word.ptr[i] <= 'z') ||
		      (word.ptr[i] >= '0' && word.ptr[i] <= '9') || word.ptr[i] == '-' ||
		      word.ptr[i] == '_'))
			return false;
	return true;
}

static bool add_pattern(struct match_list *list, struct slice word, int depth, struct err *err)
{
	struct pattern *p = arena_alloc(list->arena, sizeof(*p));

	while (word.len > 0 && word.ptr[0] == '!') {
		p->negated = !p->negated;
		word = slice_sub(word, 1, word.len);
	}
	if (word.len == 0)
		return err_set(err, ERR_SYNTAX, "\"!\" without a pattern");
	if (word.ptr[0] == '/' && !p->negated)
		return add_file(list, word, depth, err);
	p->text = arena_slice(list->arena, word);
	if (is_table(word)) {
		p->kind = PATTERN_TABLE;
		p->table = table_list_open(p->text.ptr, err);
		if (!p->table)
			return false;
	} else if (list->kind != MATCH_STRING && word.ptr[0] == '.') {
		p->kind = PATTERN_SUBDOMAINS;
		p->text = slice_sub(p->text, 1, word.len);
	} else if (list->kind == MATCH_NETWORK) {
		int network = network_parse(word, &p->network, err);

		if (network < 0)
			return false;
		p->kind = network ? PATTERN_NETWORK : PATTERN_TEXT;
	}
	*list->tail = p;
	list->tail = &p->next;
	return true;
}

/* A word of the list; "type:{ a, b }" stays together. */
static bool next_word(struct slice *rest, struct slice *word)
{
	size_t at = 0, depth = 0, from;

	while (at < rest->len && strchr(" ,\t\r\n", rest->ptr[at]))
		at++;
	from = at;
	for (; at < rest->len; at++) {
		if (rest->ptr[at] == '{')
			depth++;
		else if (rest->ptr[at] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(" ,\t\r\n", rest->ptr[at]))
			break;
	}
	*word = slice_sub(*rest, from, at - from);
	*rest = slice_sub(*rest, at, rest->len);
	return word->len > 0;
}

static bool add_words(struct match_list *list, struct slice words, int depth, struct err *err)
{
	struct slice word;

	while (next_word(&words, &word))
		if (!add_pattern(list, word, depth, err))
			return false;
	return true;
}

struct match_list *match_list_open(const char *specs, enum match_kind kind, struct err *err)
{
	struct match_list *list = mem_alloc(sizeof(*list));

	list->kind = kind;
	list->arena = arena_create(0);
	list->tail = &list->first;
	if (!add_words(list, slice_of(specs), 0, err))
		match_list_close(&list);
	return list;
}

void match_list_close(struct match_list **listp)
{
	struct match_list *list = *listp;

	if (!list)
		return;
	for (struct pattern *p = list->first; p; p = p->next)
		table_list_close(&p->table);
	arena_free(&list->arena);
	free(list);
	*listp = NULL;
}

bool match_list_changed(struct match_list *list)
{
	for (struct pattern *p = list->first; p; p = p->next)
		if (p->table && table_list_changed(p->table))
			return true;
	return false;
}

/* --- matching --- */

static bool is_subdomain(struct slice name, struct slice parent)
{
	return name.len > parent.len && slice_ends_nocase(name, parent) &&
	       name.ptr[name.len - parent.len - 1] == '.';
}

static enum table_result lookup(struct table_list *table, struct slice key, bool parents,
				struct err *err)
{
	struct arena *arena = arena_create(0);
	struct table_question question = { .key = key };
	enum table_result result;

	for (;;) {
		ptrdiff_t dot;

		result = table_list_ask(table, &question, arena, err);
		dot = slice_find(question.key, '.');
		if (result != TABLE_NOT_FOUND || !parents || dot < 0)
			break;
		question.key = slice_sub(question.key, (size_t)dot + 1, question.key.len);
		question.partial = true;
	}
	arena_free(&arena);
	return result;
}

static enum table_result match_name(const struct match_list *list, const struct pattern *p,
				    struct slice name, struct err *err)
{
	bool parents = list->kind == MATCH_DOMAIN_PARENT || list->kind == MATCH_NETWORK;

	switch (p->kind) {
	case PATTERN_TABLE:
		return lookup(p->table, name, parents, err);
	case PATTERN_SUBDOMAINS:
		return is_subdomain(name, p->text) ? TABLE_FOUND : TABLE_NOT_FOUND;
	case PATTERN_TEXT:
		return slice_eq_nocase(name, p->text) || (parents && is_subdomain(name, p->text)) ?
			       TABLE_FOUND :
			       TABLE_NOT_FOUND;
	default:
		return TABLE_NOT_FOUND;
	}
}

enum table_result match_list_test(struct match_list *list, struct slice text, struct err *err)
{
	if (list->kind == MATCH_NETWORK)
		return match_list_test_client(list, SLICE_NONE, text, err);
	for (struct pattern *p = list->first; p; p = p->next) {
		enum table_result result = match_name(list, p, text, err);

		if (result == TABLE_ERROR)
			return result;
		if (result == TABLE_FOUND)
			return p->negated ? TABLE_NOT_FOUND : TABLE_FOUND;
	}
	return TABLE_NOT_FOUND;
}

static enum table_result match_client(const struct match_list *list, const struct pattern *p,
				      struct slice name, struct slice address, struct err *err)
{
	struct network n;

	if (p->kind == PATTERN_NETWORK) {
		if (!network_parse_address(address, &n))
			return TABLE_NOT_FOUND;
		return network_contains(&p->network, &n) ? TABLE_FOUND : TABLE_NOT_FOUND;
	}
	if (p->kind == PATTERN_TABLE) {
		enum table_result result = lookup(p->table, address, false, err);

		if (result != TABLE_NOT_FOUND)
			return result;
	}
	if (name.len == 0 || slice_eq(name, SLICE("unknown")))
		return TABLE_NOT_FOUND;
	return match_name(list, p, name, err);
}

enum table_result match_list_test_client(struct match_list *list, struct slice name,
					 struct slice address, struct err *err)
{
	for (struct pattern *p = list->first; p; p = p->next) {
		enum table_result result = match_client(list, p, name, address, err);

		if (result == TABLE_ERROR)
			return result;
		if (result == TABLE_FOUND)
			return p->negated ? TABLE_NOT_FOUND : TABLE_FOUND;
	}
	return TABLE_NOT_FOUND;
}
