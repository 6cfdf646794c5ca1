/* SPDX-License-Identifier: ISC */
/*
 * D. J. Bernstein's constant databases.  Reading is done here, not by the library: it maps the file, and
 * dies when that shrinks.  The format: 256 pairs (position, slots) of 32 bits, little end first;
 * records (length of key, length of value, key, value); 256 hash tables of slots (hash, position).
 */
#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/db_format.h"

#define TABLES     256
#define HEADER     (TABLES * 8)
#define SLOTS_READ 64           /* at a time */
#define AT_ONCE    512          /* of a record */

struct cdb_reader {
	int fd;
	uint8_t header[HEADER];
};

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t hash_of(struct slice key)
{
	uint32_t hash = 5381;

	for (size_t i = 0; i < key.len; i++)
		hash = (hash * 33) ^ (uint8_t)key.ptr[i];
	return hash;
}

static void *reader_open(int fd, const char *file, struct err *err)
{
	struct cdb_reader *r = mem_alloc(sizeof(*r));

	r->fd = fd;
	if (db_read_at(fd, 0, r->header, sizeof(r->header), err))
		return r;
	err_prefix(err, "%s", file);
	free(r);
	return NULL;
}

/* Bytes that a record claims to have; a damaged length shows before memory is taken for it. */
static bool read_text(struct cdb_reader *r, uint64_t at, uint32_t len, struct arena *arena, struct slice *out, struct err *err)
{
	char last, *text;

	if (len > 0 && !db_read_at(r->fd, at + len - 1, &last, 1, err))
		return false;
	text = arena_alloc(arena, (size_t)len + 1);
	*out = slice_make(text, len);
	return db_read_at(r->fd, at, text, len, err);
}

/* 1: the record at `at` has this key, and here is its value. */
static int compare(struct cdb_reader *r, uint32_t at, struct slice key, struct arena *arena, struct slice *value,
		   struct err *err)
{
	uint8_t start[AT_ONCE];
	size_t got;
	struct slice found;

	if (!db_read_some(r->fd, at, start, sizeof(start), &got, err))
		return -1;
	if (got < 8) {
		err_set(err, ERR_TEMPORARY, "the file is damaged: it ends too early");
		return -1;
	}
	uint32_t key_len = u32(start), value_len = u32(start + 4);

	if (key_len != key.len)
		return 0;
	/* Mostly all of it is here already. */
	if (got - 8 >= (uint64_t)key_len + value_len) {
		*value = arena_slice(arena, slice_make(start + 8 + key_len, value_len));
		return slice_eq(slice_make(start + 8, key_len), key);
	}
	if (!read_text(r, (uint64_t)at + 8, key_len, arena, &found, err))
		return -1;
	if (!slice_eq(found, key))
		return 0;
	return read_text(r, (uint64_t)at + 8 + key_len, value_len, arena, value, err) ? 1 : -1;
}

static int reader_get(void *reader, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	struct cdb_reader *r = reader;
	uint32_t hash = hash_of(key);
	const uint8_t *table = r->header + 8 * (hash % TABLES);
	uint32_t start = u32(table), count = u32(table + 4), slot = count ? (hash >> 8) % count : 0;
	uint8_t slots[SLOTS_READ * 8];

	for (uint32_t seen = 0; seen < count;) {
		/* Few at first: the one that is wanted is mostly near. */
		uint32_t some = seen ? SLOTS_READ : 4;

		some = some > count - slot ? count - slot : some;
		some = some > count - seen ? count - seen : some;
		if (!db_read_at(r->fd, (uint64_t)start + 8ull * slot, slots, (size_t)some * 8, err))
			return -1;
		for (uint32_t i = 0; i < some; i++) {
			int found;

			if (u32(slots + 8 * i + 4) == 0)
				return 0;
			if (u32(slots + 8 * i) != hash)
				continue;
			found = compare(r, u32(slots + 8 * i + 4), key, arena, value, err);
			if (found != 0)
				return found;
		}
		seen += some;
		slot = (slot + some) % count;
	}
	return 0;
}

static bool reader_walk(void *reader, db_entry_fn *fn, void *context, struct err *err)
{
	struct cdb_reader *r = reader;
	uint64_t at = HEADER, end = UINT64_MAX;
	struct arena *arena = arena_create(0);
	bool ok = true;

	/* Records end where the first hash table begins. */
	for (int i = 0; i < TABLES; i++)
		if (u32(r->header + 8 * i) < end)
			end = u32(r->header + 8 * i);
	while (ok && at < end) {
		uint8_t head[8];
		struct slice key, value;

		ok = db_read_at(r->fd, at, head, sizeof(head), err) &&
		     read_text(r, at + 8, u32(head), arena, &key, err) &&
		     read_text(r, at + 8 + u32(head), u32(head + 4), arena, &value, err);
		if (ok)
			fn(key, value, context);
		at += 8ull + u32(head) + u32(head + 4);
		arena_reset(arena);
	}
	arena_free(&arena);
	return ok;
}

/* --- writing --- */

struct db_writer {
	struct cdb_make make;
	int fd;
};

static struct db_writer *writer_create(const char *file, const struct db_size *size, struct err *err)
{
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct db_writer *w;

	if (fd < 0) {
		err_set_errno(err, ERR_TEMPORARY, "create %s", file);
		return NULL;
	}
	w = mem_alloc(sizeof(*w));
	w->fd = fd;
	if (cdb_make_start(&w->make, fd) == 0)
		return w;
	err_set_errno(err, ERR_TEMPORARY, "write %s", file);
	close(fd);
	free(w);
	return NULL;
}

static int writer_put(struct db_writer *w, struct slice key, struct slice value, bool replace, struct err *err)
{
	int code = cdb_make_put(&w->make, key.ptr, (unsigned)key.len, value.ptr, (unsigned)value.len,
				replace ? CDB_PUT_REPLACE : CDB_PUT_INSERT);

	if (code < 0)
		err_set_errno(err, ERR_TEMPORARY, "write");
	return code < 0 ? -1 : code == 0 || replace;
}

static bool writer_finish(struct db_writer *w, struct err *err)
{
	bool ok = cdb_make_finish(&w->make) == 0 || err_set_errno(err, ERR_TEMPORARY, "write");

	close(w->fd);
	free(w);
	return ok;
}

const struct db_format db_format_cdb = {
	.type = "cdb", .suffix = ".cdb",
	.open = reader_open, .close = free, .get = reader_get, .walk = reader_walk,
	.create = writer_create, .put = writer_put, .finish = writer_finish,
};
