/* SPDX-License-Identifier: ISC */
/*
 * Damaged .db files.  The input says which bytes of a good file are changed: pairs of a
 * place and a value; and where the file is cut.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/bdb.h"
#include "tables/table.h"
#include "tests/support/fuzz.h"

#define ENTRIES 300

struct original {
	char data[1 << 17];
	size_t len;
};

static struct original originals[2];
static char folder[64], path[128];

static void write_file(const void *data, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void make_original(struct original *o, bool btree)
{
	struct err err;
	struct bdb_writer *w;
	char key[32], value[600];
	int fd;

	(void)unlink(path);
	w = bdb_create(path, btree, &err);
	FUZZ_CHECK(w);
	for (int i = 0; i < ENTRIES; i++) {
		snprintf(key, sizeof(key), "user%d", i);
		/* Some that need pages of their own. */
		snprintf(value, sizeof(value), "%*d", i % 100 == 0 ? 590 : 8, i);
		FUZZ_CHECK(bdb_put(w, slice_of(key), slice_of(value), false, &err) == 1);
	}
	FUZZ_CHECK(bdb_close(&w, &err));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	o->len = (size_t)read(fd, o->data, sizeof(o->data));
	close(fd);
	FUZZ_CHECK(o->len > 4096 && o->len < sizeof(o->data));
}

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
	make_original(&originals[0], false);
	make_original(&originals[1], true);
}

static void on_entry(struct slice key, struct slice value, void *context)
{
	size_t *bytes = context;

	*bytes += key.len + value.len;
	for (size_t i = 0; i < value.len; i++)
		*bytes += value.ptr[i] == 'x'; /* all of it can be read */
}

static void use(bool btree)
{
	struct arena *arena = arena_create(0);
	struct table *table;
	struct slice value;
	struct err err = { 0 };
	struct str spec = { 0 };
	size_t bytes = 0;

	str_printf(&spec, "%s:%s/t", btree ? "btree" : "hash", folder);
	table = table_open(str_cstr(&spec), &err);
	if (table) {
		(void)table_lookup(table, SLICE("user1"), arena, &value, &err);
		(void)table_lookup(table, SLICE("user200"), arena, &value, &err);
		(void)table_lookup(table, SLICE("nobody"), arena, &value, &err);
	}
	table_close(&table);
	(void)bdb_walk(path, on_entry, &bytes, &err);
	str_free(&spec);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char damaged[1 << 17];
	struct cursor c = cursor_make(data, size);
	uint8_t options = cursor_u8(&c);
	const struct original *o = &originals[options & 1];
	size_t len;

	if (!folder[0])
		start();
	len = o->len;
	memcpy(damaged, o->data, len);
	if (options & 2)
		len = cursor_u32(&c) % (len + 1);
	while (len > 0 && cursor_left(&c) >= 4) {
		size_t place = cursor_u16(&c) | (size_t)cursor_u8(&c) << 16;

		damaged[place % len] = (char)cursor_u8(&c);
	}
	write_file(damaged, len);
	use(options & 1);
	return 0;
}
