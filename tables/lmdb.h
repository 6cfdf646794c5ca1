/* SPDX-License-Identifier: ISC */
/* LMDB files: their writer, which is the library, for struct db_format. */
#ifndef POSTRIDER_TABLES_LMDB_H
#define POSTRIDER_TABLES_LMDB_H

#include "tables/db_format.h"

struct db_writer *lmdb_writer_create(const char *file, const struct db_size *size, struct err *err) MUST_USE;
struct db_writer *lmdb_writer_open(const char *file, struct err *err) MUST_USE;
int lmdb_writer_put(struct db_writer *w, struct slice key, struct slice value, bool replace, struct err *err) MUST_USE;
int lmdb_writer_delete(struct db_writer *w, struct slice key, struct err *err) MUST_USE;
bool lmdb_writer_finish(struct db_writer *w, struct err *err) MUST_USE;

#endif
