/* SPDX-License-Identifier: ISC */
/* hash, btree, lmdb and cdb as tables: what they have in common. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/str.h"
#include "tables/db_format.h"
#include "tables/served_index.h"
#include "tables/table_types.h"
#include "tables/watch.h"

struct db_table {
	const struct db_format *format;
	char *file;
	void *reader;
	struct file_watch watch;
	bool with_nul, without_nul; /* forms of keys that the file may have */
};

static const struct db_format *const formats[] = {
#ifdef HAVE_CDB
	&db_format_cdb,
#endif
#ifdef HAVE_LMDB
	&db_format_lmdb,
#endif
#if defined(HAVE_BDB) || defined(HAVE_LMDB)
	&db_format_hash, &db_format_btree,
#endif
	NULL
};

const struct db_format *db_format_find(struct slice type)
{
	for (size_t i = 0; formats[i]; i++)
		if (slice_eq(type, slice_of(formats[i]->type)))
			return formats[i];
	return NULL;
}

bool db_read_some(int fd, uint64_t offset, void *to, size_t max, size_t *got, struct err *err)
{
	ssize_t n;

	*got = 0;
	if (offset > INT64_MAX - max)
		return err_set(err, ERR_TEMPORARY, "the file is damaged: it points to nowhere");
	n = file_read_at(fd, to, max, offset);
	if (n < 0)
		return err_set_errno(err, ERR_TEMPORARY, "read");
	*got = (size_t)n;
	return true;
}

bool db_read_at(int fd, uint64_t offset, void *to, size_t len, struct err *err)
{
	size_t got;

	return db_read_some(fd, offset, to, len, &got, err) &&
	       (got == len || err_set(err, ERR_TEMPORARY, "the file is damaged: it ends too early"));
}

struct db_table *db_table_open(const struct db_format *format, const char *name, struct err *err)
{
	struct db_table *t = mem_alloc(sizeof(*t));
	struct str file = { 0 };

	str_printf(&file, "%s%s", name, format->suffix);
	t->format = format;
	t->file = str_detach(&file);
	t->with_nul = t->without_nul = true;
	if (file_watch_open(&t->watch, t->file, err)) {
		t->reader = format->open(t->watch.fd, t->file, err);
		if (t->reader)
			return t;
		file_watch_close(&t->watch);
	}
	free(t->file);
	free(t);
	return NULL;
}

void db_table_close(void *table)
{
	struct db_table *t = table;

	t->format->close(t->reader);
	file_watch_close(&t->watch);
	free(t->file);
	free(t);
}

static struct slice without_nul(struct slice s)
{
	return s.len > 0 && s.ptr[s.len - 1] == '\0' ? slice_sub(s, 0, s.len - 1) : s;
}

/* The first key that is found tells which form the others have. */
enum table_result db_table_lookup(void *table, struct slice key, struct arena *arena, struct slice *value, struct err *err)
{
	struct db_table *t = table;
	int found = 0;

	if (key.len == 0 || memchr(key.ptr, '\0', key.len))
		return TABLE_NOT_FOUND;
	key = arena_slice(arena, key);
	if (t->with_nul) {
		found = t->format->get(t->reader, slice_make(key.ptr, key.len + 1), arena, value, err);
		if (found > 0)
			t->without_nul = false;
	}
	if (found == 0 && t->without_nul) {
		found = t->format->get(t->reader, key, arena, value, err);
		if (found > 0)
			t->with_nul = false;
	}
	if (found > 0)
		*value = without_nul(*value);
	return found > 0 ? TABLE_FOUND : found == 0 ? TABLE_NOT_FOUND : TABLE_ERROR;
}

bool db_table_changed(void *table)
{
	return file_watch_changed(&((struct db_table *)table)->watch);
}

struct walk {
	db_entry_fn *fn;
	void *context;
};

static void on_entry(struct slice key, struct slice value, void *context)
{
	struct walk *w = context;

	w->fn(without_nul(key), without_nul(value), w->context);
}

bool db_table_walk(struct db_table *t, db_entry_fn *fn, void *context, struct err *err)
{
	struct walk w = { fn, context };

	return t->format->walk(t->reader, on_entry, &w, err);
}

/* --- the types --- */

#ifdef HAVE_CDB
static void *cdb_open(const char *name, struct err *err)
{
	return db_table_open(&db_format_cdb, name, err);
}

const struct table_type table_cdb = {
	.name = "cdb", .folds = true, .open = cdb_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
#endif

#ifdef HAVE_LMDB
static void *lmdb_open(const char *name, struct err *err)
{
	return db_table_open(&db_format_lmdb, name, err);
}

const struct table_type table_lmdb = {
	.name = "lmdb", .folds = true, .open = lmdb_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
#endif

#if defined(HAVE_BDB)
static void *hash_open(const char *name, struct err *err)
{
	return db_table_open(&db_format_hash, name, err);
}

static void *btree_open(const char *name, struct err *err)
{
	return db_table_open(&db_format_btree, name, err);
}

const struct table_type table_hash = {
	.name = "hash", .folds = true, .open = hash_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
const struct table_type table_btree = {
	.name = "btree", .folds = true, .open = btree_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
#elif defined(HAVE_LMDB)
static void *served_open(const char *name, struct err *err)
{
	return served_index_renew(name, err) ? db_table_open(&db_format_lmdb, name, err) : NULL;
}

/* An LMDB file serves the name, and main.cf stays as it is: see tables/served_index.h. */
const struct table_type table_hash = {
	.name = "hash", .folds = true, .open = served_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
const struct table_type table_btree = {
	.name = "btree", .folds = true, .open = served_open, .close = db_table_close, .lookup = db_table_lookup,
	.changed = db_table_changed,
};
#endif
