/* SPDX-License-Identifier: ISC */
/* The cache of addresses on disk (LMDB): it outlives the process and the machine. */
#ifndef POSTRIDER_VERIFY_STORE_H
#define POSTRIDER_VERIFY_STORE_H

#include "common/base/arena.h"
#include "common/base/err.h"

struct store;
/*
 * `map` is address_verify_map: "btree:/path" and kin; all are LMDB here, in /path.lmdb.  Empty: nothing is
 * kept beyond this process; `directory` is where its file has no name.  A damaged file begins anew, with a line in the log.
 */
struct store *store_open(const char *map, const char *directory, struct err *err) MUST_USE;
void store_close(struct store **store);
/* False: it does not have the key. */
bool store_get(struct store *store, struct slice key, struct arena *arena, struct slice *value);
/* Failures are logged: the cache is a help, and nothing rests on it. */
void store_put(struct store *store, struct slice key, struct slice value);
/* Removes whatever `keep` says no to; the number removed. */
size_t store_clean(struct store *store, bool (*keep)(struct slice key, struct slice value, void *context), void *context);

#endif
