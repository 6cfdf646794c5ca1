/* SPDX-License-Identifier: ISC */
/*
 * Tables made of others: unionmap:{type:name, ...} (what each of them has, with commas between) and
 * pipemap:{type:name, ...} (what the one answers is the key for the next); and randmap:{value, ...}, environ:.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/str.h"
#include "tables/table_types.h"

/* What stands between the braces of "{...}". */
static bool inside_braces(const char *name, struct slice *inner, struct err *err)
{
	struct slice text = slice_trim(slice_of(name));

	if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
		return err_set(err, ERR_SYNTAX, "expected { ..., ... }");
	*inner = slice_trim(slice_sub(text, 1, text.len - 2));
	return inner->len > 0 || err_set(err, ERR_SYNTAX, "nothing is in the braces");
}

/* --- unionmap, pipemap --- */

static void *list_open(const char *name, struct err *err)
{
	struct slice inner;

	if (!inside_braces(name, &inner, err))
		return NULL;
	char *specs = mem_slicedup(inner);
	struct table_list *list = table_list_open(specs, err);

	free(specs);
	return list;
}

static void list_close(void *impl)
{
	struct table_list *list = impl;

	table_list_close(&list);
}

static bool list_changed(void *impl)
{
	return table_list_changed(impl);
}

static bool list_wants_whole(void *impl)
{
	for (size_t i = 0; i < table_list_count(impl); i++)
		if (table_wants_whole_keys(table_list_at(impl, i)))
			return true;
	return false;
}

static enum table_result union_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				      struct err *err)
{
	enum table_result result = TABLE_NOT_FOUND;
	struct str all = { 0 };
	struct slice one;

	for (size_t i = 0; i < table_list_count(impl) && result != TABLE_ERROR; i++) {
		enum table_result found = table_lookup(table_list_at(impl, i), key, arena, &one, err);

		if (found == TABLE_NOT_FOUND)
			continue;
		if (found == TABLE_FOUND) {
			if (result == TABLE_FOUND)
				str_append_byte(&all, ',');
			str_append(&all, one);
		}
		result = found;
	}
	if (result == TABLE_FOUND)
		*value = arena_slice(arena, str_slice(&all));
	str_free(&all);
	return result;
}

static enum table_result pipe_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				     struct err *err)
{
	enum table_result result = TABLE_FOUND;

	for (size_t i = 0; i < table_list_count(impl) && result == TABLE_FOUND; i++) {
		result = table_lookup(table_list_at(impl, i), key, arena, value, err);
		key = *value;
	}
	return result;
}

const struct table_type table_unionmap = {
	.name = "unionmap", .open = list_open, .close = list_close, .lookup = union_lookup, .changed = list_changed,
	.wants_whole = list_wants_whole,
};
const struct table_type table_pipemap = {
	.name = "pipemap", .open = list_open, .close = list_close, .lookup = pipe_lookup, .changed = list_changed,
	.wants_whole = list_wants_whole,
};

/* --- randmap --- */

struct random_table {
	struct arena *arena;
	struct slice *values;
	size_t count;
};

static void random_close(void *impl)
{
	struct random_table *t = impl;

	arena_free(&t->arena);
	free(t->values);
	free(t);
}

static void *random_open(const char *name, struct err *err)
{
	struct random_table *t;
	struct slice inner, value;

	if (!inside_braces(name, &inner, err))
		return NULL;
	t = mem_alloc(sizeof(*t));
	t->arena = arena_create(0);
	inner = arena_slice(t->arena, inner);
	while (table_next_spec(&inner, &value)) {
		t->values = mem_realloc(t->values, (t->count + 1) * sizeof(*t->values));
		t->values[t->count++] = value;
	}
	if (t->count > 0)
		return t;
	err_set(err, ERR_SYNTAX, "no value is in the braces");
	random_close(t);
	return NULL;
}

static enum table_result random_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				       struct err *err)
{
	const struct random_table *t = impl;
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
		err_set_errno(err, ERR_TEMPORARY, "getrandom");
		return TABLE_ERROR;
	}
	*value = arena_slice(arena, t->values[number % t->count]);
	return TABLE_FOUND;
}

const struct table_type table_randmap = {
	.name = "randmap", .open = random_open, .close = random_close, .lookup = random_lookup,
};

/* --- environ --- */

static void *environ_open(const char *name, struct err *err)
{
	return mem_strdup(name);
}

static enum table_result environ_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
					struct err *err)
{
	const char *text = getenv(arena_cstr(arena, key));

	if (!text)
		return TABLE_NOT_FOUND;
	*value = arena_slice(arena, slice_of(text));
	return TABLE_FOUND;
}

const struct table_type table_environ = {
	.name = "environ", .folds = true, .open = environ_open, .close = free, .lookup = environ_lookup,
};
