/* SPDX-License-Identifier: ISC */
/*
 * What the library writes our reader finds: any bytes for keys and values, and nothing else is there.  Files
 * that are damaged: db_table_fuzz.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/db_format.h"
#include "tables/table.h"
#include "tests/support/fuzz.h"

#define ENTRIES 32

struct entry {
	struct slice key, value;
	bool stored;
};

static char folder[64], path[128];

static void remove_folder(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

static void start(void)
{
	snprintf(folder, sizeof(folder), "/tmp/bdb_fuzz.XXXXXX");
	FUZZ_CHECK(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/t.db", folder);
	atexit(remove_folder);
}

static size_t store(const struct db_format *format, struct entry *entries, size_t count)
{
	struct db_size size = { count, count * 64 };
	struct err err = { 0 };
	struct db_writer *w;
	size_t stored = 0;

	(void)unlink(path);
	w = format->create(path, &size, &err);
	FUZZ_CHECK(w);
	for (size_t i = 0; i < count; i++) {
		char *key = mem_slicedup(entries[i].key), *value = mem_slicedup(entries[i].value);
		int result = format->put(w, slice_make(key, entries[i].key.len + 1), slice_make(value, entries[i].value.len + 1),
					 false, &err);

		FUZZ_CHECK(result >= 0);
		entries[i].stored = result == 1;
		stored += entries[i].stored;
		free(key);
		free(value);
	}
	FUZZ_CHECK(format->finish(w, &err));
	return stored;
}

static void on_entry(struct slice key, struct slice value, void *context)
{
	++*(size_t *)context;
}

static bool is_folded(struct slice key)
{
	for (size_t i = 0; i < key.len; i++)
		if (key.ptr[i] >= 'A' && key.ptr[i] <= 'Z')
			return false;
	return true;
}

static void look_up(struct table *table, const struct entry *e)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	struct slice value;
	enum table_result result = table_lookup(table, e->key, arena, &value, &err);

	FUZZ_CHECK(result != TABLE_ERROR);
	if (e->key.len == 0 || memchr(e->key.ptr, '\0', e->key.len))
		FUZZ_CHECK(result == TABLE_NOT_FOUND);
	else if (e->stored && is_folded(e->key))
		FUZZ_CHECK(result == TABLE_FOUND && slice_eq(value, e->value));
	arena_free(&arena);
}

/* Options; then keys and values: a length of 16 bits and bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_make(data, size);
	bool btree = cursor_u8(&c) & 1;
	const struct db_format *format = db_format_find(btree ? SLICE("btree") : SLICE("hash"));
	struct entry entries[ENTRIES];
	struct err err = { 0 };
	struct str spec = { 0 };
	size_t count = 0, walked = 0, stored;

	if (!folder[0])
		start();
	for (; count < ENTRIES && cursor_left(&c) > 4; count++) {
		entries[count].key = cursor_bytes(&c, cursor_u16(&c) % (cursor_left(&c) + 1));
		entries[count].value = cursor_bytes(&c, cursor_u16(&c) % (cursor_left(&c) + 1));
		if (c.failed)
			break;
	}
	stored = store(format, entries, count);
	str_printf(&spec, "%s:%s/t", btree ? "btree" : "hash", folder);
	struct table *table = table_open(str_cstr(&spec), &err);

	FUZZ_CHECK(table);
	for (size_t i = 0; i < count; i++)
		look_up(table, &entries[i]);
	table_close(&table);
	str_clear(&spec);
	str_printf(&spec, "%s/t", folder);
	struct db_table *file = db_table_open(format, str_cstr(&spec), &err);

	FUZZ_CHECK(file && db_table_walk(file, on_entry, &walked, &err) && walked == stored);
	db_table_close(file);
	str_free(&spec);
	return 0;
}
