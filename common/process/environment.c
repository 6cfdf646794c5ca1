/* SPDX-License-Identifier: ISC */
#include "common/process/environment.h"

#include <stdlib.h>

static void put(struct environment *e, const char *variable)
{
	if (e->count < ENVIRONMENT_MAX)
		e->variable[e->count++] = variable;
}

/* A word, or what stands in braces. */
static bool next(struct slice *rest, struct slice *word)
{
	struct slice text = slice_trim(*rest);

	if (text.len == 0 || text.ptr[0] != '{') {
		*rest = text;
		return slice_word(rest, " ,\t\r\n", word);
	}
	*rest = slice_sub(text, 1, text.len);
	slice_cut(rest, '}', word);
	*word = slice_trim(*word);
	return true;
}

void environment_start(struct environment *e, const char *path, const char *list, struct arena *arena)
{
	struct slice rest = slice_of(list), word;

	*e = (struct environment){ 0 };
	put(e, arena_printf(arena, "PATH=%s", path));
	while (next(&rest, &word)) {
		const char *text = arena_cstr(arena, word), *value;

		if (strchr(text, '='))
			put(e, text);
		else if ((value = getenv(text)))
			put(e, arena_printf(arena, "%s=%s", text, value));
	}
}

void environment_add(struct environment *e, const char *name, struct slice value, const char *allowed,
		     struct arena *arena)
{
	size_t start = strlen(name) + 1;
	char *text = arena_printf(arena, "%s=%.*s", name, SLICE_FMT(value));

	for (char *c = text + start; allowed && *c; c++)
		if (!strchr(allowed, *c))
			*c = '_';
	put(e, text);
}
