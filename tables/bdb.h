/* SPDX-License-Identifier: ISC */
/* Berkeley DB files in Postfix's form (keys and values end in NUL): building them. */
#ifndef POSTRIDER_TABLES_BDB_H
#define POSTRIDER_TABLES_BDB_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct bdb_writer;
/* A new, empty FILE (made with mode 0600). */
struct bdb_writer *bdb_create(const char *file, bool btree, struct err *err) MUST_USE;
/* An existing FILE, for changes. */
struct bdb_writer *bdb_open_for_change(const char *file, struct err *err) MUST_USE;
/* 1 stored, 0 the key is there already (and stays), -1 error. */
int bdb_put(struct bdb_writer *w, struct slice key, struct slice value, bool replace, struct err *err) MUST_USE;
/* 1 deleted, 0 not there, -1 error. */
int bdb_delete(struct bdb_writer *w, struct slice key, struct err *err) MUST_USE;
/* Writes all out and closes; the writer is gone whatever the result. */
bool bdb_close(struct bdb_writer **w, struct err *err) MUST_USE;
/* Calls fn for each entry (without NULs). */
bool bdb_walk(const char *file, void (*fn)(struct slice key, struct slice value, void *context), void *context,
	      struct err *err) MUST_USE;

#endif
