/* SPDX-License-Identifier: ISC */
#include "tables/servers/small_protocol.h"

#include <stdlib.h>

struct small_table *small_table_open(const struct server_kind *kind, const char *server, const char *map,
				     struct err *err)
{
	struct small_table *t = mem_alloc(sizeof(*t));

	t->spec = mem_strdup(server);
	t->map = mem_strdup(map ? map : "");
	t->pool = server_pool_create(kind, t, server, t->spec, err);
	if (t->pool)
		return t;
	small_table_close(t);
	return NULL;
}

void small_table_close(void *impl)
{
	struct small_table *t = impl;

	server_pool_free(&t->pool);
	free(t->spec);
	free(t->map);
	free(t);
}

enum table_result small_table_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				     struct err *err)
{
	struct small_table *t = impl;
	struct small_question question = { .key = key };
	enum table_result result = TABLE_NOT_FOUND;

	if (key.len == 0)
		return TABLE_NOT_FOUND;
	if (!server_pool_ask(t->pool, &question, err)) {
		result = TABLE_ERROR;
	} else if (question.found) {
		*value = arena_slice(arena, str_slice(&question.value));
		result = TABLE_FOUND;
	}
	str_free(&question.value);
	return result;
}
