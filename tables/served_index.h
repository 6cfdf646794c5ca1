/* SPDX-License-Identifier: ISC */
/*
 * hash: and btree: where there is no Berkeley DB: name.lmdb serves them.  It is built from the source text when it
 * is missing or older than that, by whoever opens the table (before its sandbox closes).
 */
#ifndef POSTRIDER_TABLES_SERVED_INDEX_H
#define POSTRIDER_TABLES_SERVED_INDEX_H

#include "common/base/err.h"

/*
 * Builds NAME.lmdb anew when it must be, with a line in the log.  False: it could not be built, and there is none that
 * is usable.  Without source text, or when only the rebuilding failed, the old index stays in use (with a warning).
 */
bool served_index_renew(const char *name, struct err *err) MUST_USE;

#endif
