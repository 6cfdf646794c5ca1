/* SPDX-License-Identifier: ISC */
/* Files of Berkeley DB, hash and btree: their reader, which is ours, for struct db_format. */
#ifndef POSTRIDER_TABLES_BDB_H
#define POSTRIDER_TABLES_BDB_H

#include "tables/db_format.h"

void *bdb_reader_open(int fd, const char *file, struct err *err) MUST_USE;
void bdb_reader_close(void *reader);
int bdb_reader_get(void *reader, struct slice key, struct arena *arena, struct slice *value, struct err *err) MUST_USE;
bool bdb_reader_walk(void *reader, db_entry_fn *fn, void *context, struct err *err) MUST_USE;

#endif
