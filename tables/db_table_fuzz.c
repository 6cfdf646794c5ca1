/* SPDX-License-Identifier: ISC */
/*
 * Files that a table is read from: any bytes, and files of each format that were damaged in some places.  An answer or an
 * error, nothing else; and the answer comes in time.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/db_format.h"
#include "tests/support/fuzz.h"

#define ENTRIES 300
#define LARGE   9000

static const char *const types[] = { "hash", "btree", "lmdb", "cdb" };
#define TYPES (sizeof(types) / sizeof(types[0]))

static struct str intact[TYPES];
static int file = -1;

static void put(const struct db_format *format, struct db_writer *w, const char *key, const char *value)
{
	struct err err;

	FUZZ_CHECK(format->put(w, slice_of(key), slice_of(value), false, &err) == 1);
}

static void make_intact(const struct db_format *format, struct str *out)
{
	char path[] = "/tmp/db_table_fuzz.XXXXXX", large[LARGE + 1], key[32], block[4096];
	struct db_size size = { ENTRIES, (size_t)ENTRIES * 20 };
	int fd = mkstemp(path);
	struct db_writer *w;
	struct err err;
	ssize_t got;

	FUZZ_CHECK(fd >= 0);
	close(fd);
	(void)unlink(path);
	w = format->create(path, &size, &err);
	FUZZ_CHECK(w);
	for (int i = 0; i < LARGE; i++)
		large[i] = (char)('a' + i % 26);
	large[LARGE] = '\0';
	for (int i = 0; i < ENTRIES; i++) {
		snprintf(key, sizeof(key), "key%04d", i);
		put(format, w, key, "value");
	}
	put(format, w, "large", large);
	FUZZ_CHECK(format->finish(w, &err));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((got = read(fd, block, sizeof(block))) > 0)
		str_append(out, slice_make(block, (size_t)got));
	close(fd);
	(void)unlink(path);
}

static void ask(const struct db_format *format, void *reader, const char *key)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	struct slice value = SLICE_NONE;
	int found = format->get(reader, slice_of(key), arena, &value, &err);

	FUZZ_CHECK(found >= -1 && found <= 1);
	FUZZ_CHECK(found >= 0 || err.code != ERR_NONE);
	/* Each byte can be read. */
	FUZZ_CHECK(found <= 0 || slice_hash(value) == slice_hash(value));
	arena_free(&arena);
}

static void on_entry(struct slice key, struct slice value, void *context)
{
	/* Each byte can be read. */
	*(uint64_t *)context += slice_hash(key) ^ slice_hash(value);
}

/* A kind, how; then the file, or damages: an offset of 24 bits and a byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { "key0000", "key0123", "key0299", "large", "a", "zzz", "key" };
	struct cursor c = cursor_make(data, size);
	unsigned type = cursor_u8(&c) % TYPES, how = cursor_u8(&c);
	const struct db_format *format = db_format_find(slice_of(types[type]));
	struct err err = { 0 };
	uint64_t sum = 0;

	if (c.failed || !format)
		return 0;
	if (file < 0)
		file = memfd_create("db", MFD_CLOEXEC);
	if (intact[type].len == 0)
		make_intact(format, &intact[type]);
	struct slice whole = how & 1 ? cursor_bytes(&c, cursor_left(&c)) : str_slice(&intact[type]);

	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, whole.ptr, whole.len, 0) == (ssize_t)whole.len);
	while (cursor_left(&c) >= 4) {
		uint32_t at = cursor_u32(&c);
		uint8_t byte = (uint8_t)at;

		FUZZ_CHECK(pwrite(file, &byte, 1, (off_t)((at >> 8) % whole.len)) == 1);
	}
	void *reader = format->open(file, "file", &err);

	if (!reader) {
		FUZZ_CHECK(err.code != ERR_NONE);
		return 0;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		ask(format, reader, keys[i]);
	(void)format->walk(reader, on_entry, &sum, &err);
	if (how & 2)
		FUZZ_CHECK(ftruncate(file, (off_t)whole.len / 2) == 0);
	ask(format, reader, "key0100");
	format->close(reader);
	return 0;
}
