/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/config/main_cf.h"
#include "common/config/master_cf.h"

#define FILE_MAX (1u << 20)

struct master_cf {
	struct arena *arena;
	struct master_entry *entries;
	size_t count, capacity;
};

static const char *const type_names[] = {
	[MASTER_INET] = "inet", [MASTER_UNIX] = "unix", [MASTER_FIFO] = "fifo",
	[MASTER_PASS] = "pass", [MASTER_UNIX_DGRAM] = "unix-dgram",
};

/* The next word; "{ text }" is one, without its brackets. */
static bool next_word(struct slice *rest, struct slice *word, bool *braced, struct err *err)
{
	size_t depth = 0;

	*braced = false;
	*rest = slice_trim(*rest);
	if (rest->len == 0)
		return false;
	if (rest->ptr[0] != '{')
		return slice_word(rest, " \t", word);
	for (size_t i = 0; i < rest->len; i++) {
		if (rest->ptr[i] == '{')
			depth++;
		else if (rest->ptr[i] == '}' && --depth == 0) {
			*word = slice_trim(slice_sub(*rest, 1, i - 1));
			*rest = slice_sub(*rest, i + 1, rest->len);
			*braced = true;
			return true;
		}
	}
	err_set(err, ERR_SYNTAX, "missing }");
	*rest = SLICE_NONE;
	return false;
}

static bool parse_type(struct slice word, enum master_type *type)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (slice_eq(word, slice_of(type_names[i]))) {
			*type = (enum master_type)i;
			return true;
		}
	}
	return false;
}

static bool parse_tristate(struct slice word, enum master_tristate *value)
{
	if (slice_eq(word, SLICE("-")))
		*value = MASTER_DEFAULT;
	else if (slice_eq(word, SLICE("y")))
		*value = MASTER_YES;
	else if (slice_eq(word, SLICE("n")))
		*value = MASTER_NO;
	else
		return false;
	return true;
}

static bool parse_count(struct slice word, int *value)
{
	uint64_t n;

	*value = -1;
	if (slice_eq(word, SLICE("-")))
		return true;
	if (!slice_to_u64(word, &n) || n > 1000000)
		return false;
	*value = (int)n;
	return true;
}

static bool parse_wakeup(struct slice word, struct master_entry *e)
{
	if (word.len > 1 && word.ptr[word.len - 1] == '?') {
		e->wakeup_if_used = true;
		word = slice_sub(word, 0, word.len - 1);
	}
	return parse_count(word, &e->wakeup);
}

static bool parse_columns(struct slice *rest, struct master_entry *e, struct arena *arena, struct err *err)
{
	static const char *const names[] = { "service name", "type", "private", "unprivileged",
					     "chroot", "wakeup", "maxproc", "command" };
	struct slice word = SLICE_NONE;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool ok = slice_word(rest, " \t", &word);

		switch (ok ? i : 99) {
		case 0:
			e->name = arena_cstr(arena, word);
			break;
		case 1:
			ok = parse_type(word, &e->type);
			break;
		case 2:
			ok = parse_tristate(word, &e->private_);
			break;
		case 3:
			ok = parse_tristate(word, &e->unpriv);
			break;
		case 4:
			ok = parse_tristate(word, &e->chroot);
			break;
		case 5:
			ok = parse_wakeup(word, e);
			break;
		case 6:
			ok = parse_count(word, &e->maxproc);
			break;
		case 7:
			e->command = arena_cstr(arena, word);
			break;
		}
		if (!ok)
			return err_set(err, ERR_SYNTAX, "bad or missing field \"%s\": \"%.*s\"", names[i],
				       SLICE_FMT(word));
	}
	return true;
}

/* "-o name=value", "-oname=value" or "-o { name = value }". */
static bool parse_override(struct slice text, bool braced, struct config_override *o, struct arena *arena,
			   struct err *err)
{
	struct slice value = text, name;

	if (!slice_cut(&value, '=', &name))
		return err_set(err, ERR_SYNTAX, "-o %.*s: expected name=value", SLICE_FMT(text));
	if (braced) {
		name = slice_trim(name);
		value = slice_trim(value);
	}
	o->name = arena_cstr(arena, name);
	o->value = arena_cstr(arena, value);
	return true;
}

static bool parse_arguments(struct slice rest, struct master_entry *e, struct arena *arena, struct err *err)
{
	size_t room = rest.len / 2 + 2, argc = 0;
	const char **argv = arena_alloc(arena, room * sizeof(*argv));
	struct config_override *overrides = arena_alloc(arena, room * sizeof(*overrides));
	struct slice word;
	bool braced;

	err->code = ERR_NONE;
	while (next_word(&rest, &word, &braced, err)) {
		if (braced || !slice_starts(word, SLICE("-o"))) {
			argv[argc++] = arena_cstr(arena, word);
			continue;
		}
		word = slice_sub(word, 2, word.len);
		if (word.len == 0 && !next_word(&rest, &word, &braced, err)) {
			if (err->code == ERR_NONE)
				err_set(err, ERR_SYNTAX, "-o without name=value");
			return false;
		}
		if (!parse_override(word, braced, &overrides[e->override_count++], arena, err))
			return false;
	}
	e->argv = argv;
	e->overrides = overrides;
	return err->code == ERR_NONE;
}

static struct master_entry *add_entry(struct master_cf *cf)
{
	if (cf->count == cf->capacity) {
		cf->capacity = cf->capacity ? cf->capacity * 2 : 32;
		cf->entries = mem_realloc(cf->entries, cf->capacity * sizeof(*cf->entries));
	}
	memset(&cf->entries[cf->count], 0, sizeof(*cf->entries));
	return &cf->entries[cf->count++];
}

static bool parse_file(struct master_cf *cf, struct slice text, const char *path, struct err *err)
{
	struct str logical = { 0 };
	int line = 0, counter = 0;
	bool ok = true;

	while (ok && main_cf_logical_line(&text, &logical, &line, &counter)) {
		struct master_entry *e = add_entry(cf);
		struct slice rest = str_slice(&logical);

		e->line = line;
		ok = parse_columns(&rest, e, cf->arena, err) && parse_arguments(rest, e, cf->arena, err);
		if (!ok)
			err_prefix(err, "%s, line %d", path, line);
	}
	str_free(&logical);
	return ok;
}

struct master_cf *master_cf_load(const char *path, struct err *err)
{
	struct master_cf *cf = mem_alloc(sizeof(*cf));
	struct str text = { 0 };
	char buf[4096];
	size_t got;
	FILE *f = fopen(path, "re");
	bool ok = f || err_set_errno(err, ERR_TEMPORARY, "open %s", path);

	cf->arena = arena_create(8192);
	while (ok && (got = fread(buf, 1, sizeof(buf), f)) > 0 && text.len < FILE_MAX)
		str_append(&text, slice_make(buf, got));
	if (f)
		fclose(f);
	ok = ok && parse_file(cf, str_slice(&text), path, err);
	str_free(&text);
	if (!ok)
		master_cf_free(&cf);
	return cf;
}

void master_cf_free(struct master_cf **cf)
{
	if (!*cf)
		return;
	arena_free(&(*cf)->arena);
	free((*cf)->entries);
	free(*cf);
	*cf = NULL;
}

size_t master_cf_count(const struct master_cf *cf)
{
	return cf->count;
}

const struct master_entry *master_cf_entry(const struct master_cf *cf, size_t index)
{
	return &cf->entries[index];
}

const struct master_entry *master_cf_find(const struct master_cf *cf, const char *name, enum master_type type)
{
	for (size_t i = 0; i < cf->count; i++)
		if (cf->entries[i].type == type && strcmp(cf->entries[i].name, name) == 0)
			return &cf->entries[i];
	return NULL;
}
