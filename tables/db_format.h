/* SPDX-License-Identifier: ISC */
/*
 * Tables in one file with an index: what each format provides.  Reading is made for files that are
 * damaged, or that somebody else writes to: an error then, never a crash.  Writing is for postmap.
 */
#ifndef POSTRIDER_TABLES_DB_FORMAT_H
#define POSTRIDER_TABLES_DB_FORMAT_H

#include "tables/table.h"

/* What will be put into a new file: for caches and limits. */
struct db_size {
	size_t entries, bytes;   /* bytes: of keys and values */
};

struct db_writer;
typedef void db_entry_fn(struct slice key, struct slice value, void *context);

struct db_format {
	const char *type;        /* "hash" */
	const char *suffix;      /* ".db" */
	bool nul;                /* keys and values end in NUL by default */
	bool sorted;             /* wants new entries in the order of their keys */

	/* Reads from `fd`, which it does not own; `file` is a name for messages.  NULL: not such a file. */
	void *(*open)(int fd, const char *file, struct err *err);
	void (*close)(void *reader);
	/* Exactly this key.  1 found (value as it is stored, in the arena), 0 not there, -1 error. */
	int (*get)(void *reader, struct slice key, struct arena *arena, struct slice *value, struct err *err);
	/* Each entry, in the order of the file. */
	bool (*walk)(void *reader, db_entry_fn *fn, void *context, struct err *err);

	/* A new FILE that must not exist, mode 0600. */
	struct db_writer *(*create)(const char *file, const struct db_size *size, struct err *err);
	/* An existing FILE, for changes; NULL: files of this format cannot be changed. */
	struct db_writer *(*open_for_change)(const char *file, struct err *err);
	/* 1 stored, 0 the key is there already (and stays unless `replace`), -1 error. */
	int (*put)(struct db_writer *w, struct slice key, struct slice value, bool replace, struct err *err);
	/* 1 deleted, 0 not there, -1 error. */
	int (*del)(struct db_writer *w, struct slice key, struct err *err);
	/* Writes all out and closes; the writer is gone whatever the result. */
	bool (*finish)(struct db_writer *w, struct err *err);
};

/* NULL: no such type, or not a table in a file with an index. */
const struct db_format *db_format_find(struct slice type);

/* --- for struct table_type: opens NAME with the suffix, asks with NUL and without --- */

struct db_table;
struct db_table *db_table_open(const struct db_format *format, const char *name, struct err *err) MUST_USE;
void db_table_close(void *table);
enum table_result db_table_lookup(void *table, struct slice key, struct arena *arena, struct slice *value,
				  struct err *err) MUST_USE;
bool db_table_changed(void *table);
/* Each entry, without NUL. */
bool db_table_walk(struct db_table *table, db_entry_fn *fn, void *context, struct err *err) MUST_USE;

/* Reads at `offset`: what is there up to `max` bytes, or exactly `len`.  False: an error of the system, or the file ends before. */
bool db_read_some(int fd, uint64_t offset, void *to, size_t max, size_t *got, struct err *err) MUST_USE;
bool db_read_at(int fd, uint64_t offset, void *to, size_t len, struct err *err) MUST_USE;

extern const struct db_format db_format_btree, db_format_cdb, db_format_hash, db_format_lmdb;

#endif
