/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/proxy.h"
#include "tables/table_types.h"

struct table {
	char *spec;
	const struct table_type *type;
	struct proxy_table *proxy; /* asked through proxymap; then `impl` and perhaps `type` are NULL */
	void *impl;              /* NULL: could not be opened */
	struct err open_error;
	bool keep_case;
};

struct table_list {
	struct table **tables;
	size_t count;
};

static const struct config *used_config;

void tables_use_config(const struct config *config)
{
	used_config = config;
}

const struct config *tables_config(void)
{
	return used_config;
}

/* "proxy:hash:/x" is hash:/x: opened here before the sandbox closes, if proxy_read_maps has it. */
static struct slice without_proxy(struct slice spec)
{
	while (slice_starts(spec, SLICE("proxy:")))
		spec = slice_sub(spec, 6, spec.len);
	return spec;
}

/* May this table be had with proxy: in front?  Asked by who opens it; for others' tables proxymap asks itself. */
static bool is_proxied_by_right(struct slice spec, struct err *err)
{
	struct slice words, word;

	if (!used_config || !slice_starts(spec, SLICE("proxy:")))
		return true;
	words = slice_of(config_text(used_config, "proxy_read_maps"));
	while (slice_word(&words, " ,\t\r\n{}", &word))
		if (slice_eq(word, spec))
			return true;
	return err_set(err, ERR_TEMPORARY, "proxy_read_maps does not have it: add it there, or leave \"proxy:\" out");
}

static struct table *open_lazily(struct slice spec, struct err *err)
{
	struct slice plain = without_proxy(spec), name = plain, type_name;
	const struct table_type *type;
	struct table *table;

	bool named = slice_cut(&name, ':', &type_name);

	type = table_type_find(type_name);
	if (!named || !(type || table_type_is_outside(type_name))) {
		err_set(err, ERR_SYNTAX, "\"%.*s\": unknown table type or missing name", SLICE_FMT(spec));
		return NULL;
	}
	table = mem_alloc(sizeof(*table));
	table->spec = mem_slicedup(spec);
	table->type = type;
	char *text = mem_slicedup(plain);

	if (proxy_table_wanted() && table_type_is_outside(type_name))
		table->proxy = proxy_table_create(table->spec);
	else if (!is_proxied_by_right(spec, &table->open_error))
		table->impl = NULL;
	else if (type)
		table->impl = type->open(text + type_name.len + 1, &table->open_error);
	else
		err_set(&table->open_error, ERR_TEMPORARY, "tables of this type were left out when this program was built");
	free(text);
	if (!table->impl && !table->proxy)
		err_prefix(&table->open_error, "table %s", table->spec);
	return table;
}

struct table *table_open(const char *spec, struct err *err)
{
	struct table *table = open_lazily(slice_of(spec), err);

	if (table && !table->impl && !table->proxy) {
		*err = table->open_error;
		table_close(&table);
	}
	return table;
}

void table_close(struct table **tablep)
{
	struct table *table = *tablep;

	if (!table)
		return;
	if (table->impl)
		table->type->close(table->impl);
	proxy_table_free(&table->proxy);
	free(table->spec);
	free(table);
	*tablep = NULL;
}

const char *table_name(const struct table *table)
{
	return table->spec;
}

void table_keep_case(struct table *table)
{
	table->keep_case = true;
}

enum table_result table_lookup(struct table *table, struct slice key, struct arena *arena,
			       struct slice *value, struct err *err)
{
	enum table_result result;

	*value = SLICE_NONE;
	if (!table->impl && !table->proxy) {
		*err = table->open_error;
		return TABLE_ERROR;
	}
	if (table->proxy) {
		/* Folded there, as its type says. */
		result = proxy_table_lookup(table->proxy, key, arena, value, err);
	} else if (table->type->folds && !table->keep_case) {
		struct str folded = { 0 };

		str_append_lower(&folded, key);
		result = table->type->lookup(table->impl, str_slice(&folded), arena, value, err);
		str_free(&folded);
	} else {
		result = table->type->lookup(table->impl, key, arena, value, err);
	}
	if (result == TABLE_ERROR) {
		err->code = ERR_TEMPORARY;
		/* What proxymap says has it already. */
		if (!slice_starts(slice_of(err->text), SLICE("table ")))
			err_prefix(err, "table %s", table->spec);
	}
	return result;
}

bool table_changed(struct table *table)
{
	return table->impl && table->type->changed && table->type->changed(table->impl);
}

/* transport(5), generic(5) and their kin say so of patterns. */
bool table_wants_whole_keys(const struct table *table)
{
	struct slice name = without_proxy(slice_of(table->spec)), type;

	if (table->impl && table->type->wants_whole)
		return table->type->wants_whole(table->impl);
	slice_cut(&name, ':', &type);
	return table_type_wants_whole(type);
}

/* --- lists --- */

bool table_next_spec(struct slice *rest, struct slice *spec)
{
	size_t at = 0, from, depth = 0;

	while (at < rest->len && strchr(" ,\t\r\n", rest->ptr[at]))
		at++;
	for (from = at; at < rest->len; at++) {
		if (rest->ptr[at] == '{')
			depth++;
		else if (rest->ptr[at] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(" ,\t\r\n", rest->ptr[at]))
			break;
	}
	*spec = slice_sub(*rest, from, at - from);
	*rest = slice_sub(*rest, at, rest->len);
	return spec->len > 0;
}

struct table_list *table_list_open(const char *specs, struct err *err)
{
	struct table_list *list = mem_alloc(sizeof(*list));
	struct slice rest = slice_of(specs), spec;

	while (table_next_spec(&rest, &spec)) {
		struct table *table = open_lazily(spec, err);

		if (!table) {
			table_list_close(&list);
			return NULL;
		}
		list->tables = mem_realloc(list->tables, (list->count + 1) * sizeof(struct table *));
		list->tables[list->count++] = table;
	}
	return list;
}

void table_list_close(struct table_list **listp)
{
	struct table_list *list = *listp;

	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++)
		table_close(&list->tables[i]);
	free(list->tables);
	free(list);
	*listp = NULL;
}

size_t table_list_count(const struct table_list *list)
{
	return list->count;
}

struct table *table_list_at(struct table_list *list, size_t index)
{
	return list->tables[index];
}

bool table_list_empty(const struct table_list *list)
{
	return list->count == 0;
}

enum table_result table_list_lookup(struct table_list *list, struct slice key, struct arena *arena,
				    struct slice *value, struct err *err)
{
	*value = SLICE_NONE;
	for (size_t i = 0; i < list->count; i++) {
		enum table_result result = table_lookup(list->tables[i], key, arena, value, err);

		if (result != TABLE_NOT_FOUND)
			return result;
	}
	return TABLE_NOT_FOUND;
}

enum table_result table_list_ask(struct table_list *list, struct table_question *q, struct arena *arena,
				 struct err *err)
{
	enum table_result result = TABLE_NOT_FOUND;

	q->value = SLICE_NONE;
	for (size_t i = 0; i < list->count && result == TABLE_NOT_FOUND; i++) {
		q->table = list->tables[i]->spec;
		if (!q->partial || !table_wants_whole_keys(list->tables[i]))
			result = table_lookup(list->tables[i], q->key, arena, &q->value, err);
	}
	return result;
}

bool table_list_changed(struct table_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (table_changed(list->tables[i]))
			return true;
	return false;
}

const char *table_list_unopened(const struct table_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!list->tables[i]->impl && !list->tables[i]->proxy)
			return list->tables[i]->spec;
	return NULL;
}
