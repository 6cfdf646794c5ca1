/* SPDX-License-Identifier: ISC */
#include "verify/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"

#ifdef HAVE_LMDB
#include <lmdb.h>

#define ROOM     ((size_t)1 << 30)     /* of address space; the file is as large as what is in it */
#define KEY_MAX  500                   /* LMDB's own limit is 511 */

struct store {
	MDB_env *env;
	MDB_dbi dbi;
	char *path;
};

static bool fail(struct err *err, const char *what, int code)
{
	return err_set(err, ERR_TEMPORARY, "%s: %s", what, mdb_strerror(code));
}

static int open_environment(struct store *s)
{
	MDB_txn *txn = NULL;
	int code = mdb_env_create(&s->env);

	if (code == 0)
		code = mdb_env_set_mapsize(s->env, ROOM);
	/* One process, one thread: nobody to lock out. */
	if (code == 0)
		code = mdb_env_open(s->env, s->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS | MDB_NOMETASYNC, 0600);
	if (code == 0)
		code = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (code == 0)
		code = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (code == 0)
		return mdb_txn_commit(txn);
	if (txn)
		mdb_txn_abort(txn);
	if (s->env)
		mdb_env_close(s->env);
	s->env = NULL;
	return code;
}

struct store *store_open(const char *map, const char *directory, struct err *err)
{
	const char *name = strchr(map, ':') ? strchr(map, ':') + 1 : map;
	struct store *s = mem_alloc(sizeof(*s));
	struct str path = { 0 };
	int code;

	if (*name)
		str_printf(&path, "%s.lmdb", name);
	else
		str_printf(&path, "%s/verify_cache.%d.tmp", directory, (int)getpid());
	s->path = str_detach(&path);
	code = open_environment(s);
	if (code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH || code == MDB_PANIC) {
		log_warning("%s: %s: it begins anew", s->path, mdb_strerror(code));
		code = unlink(s->path) == 0 ? open_environment(s) : code;
	}
	if (!*name)
		(void)unlink(s->path);
	if (code == 0)
		return s;
	fail(err, s->path, code);
	store_close(&s);
	return NULL;
}

void store_close(struct store **store)
{
	struct store *s = *store;

	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	free(s->path);
	free(s);
	*store = NULL;
}

static MDB_val val_of(struct slice s)
{
	return (MDB_val){ s.len, (void *)(uintptr_t)s.ptr };
}

bool store_get(struct store *s, struct slice key, struct arena *arena, struct slice *value)
{
	MDB_val k = val_of(key), v;
	MDB_txn *txn;
	bool found;

	if (key.len == 0 || key.len > KEY_MAX || mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0)
		return false;
	found = mdb_get(txn, s->dbi, &k, &v) == 0;
	if (found)
		*value = arena_slice(arena, slice_make(v.mv_data, v.mv_size));
	mdb_txn_abort(txn);
	return found;
}

void store_put(struct store *s, struct slice key, struct slice value)
{
	MDB_val k = val_of(key), v = val_of(value);
	MDB_txn *txn = NULL;
	int code;

	if (key.len == 0 || key.len > KEY_MAX)
		return;
	code = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (code == 0)
		code = mdb_put(txn, s->dbi, &k, &v, 0);
	if (code == 0) {
		code = mdb_txn_commit(txn);
		txn = NULL;
	}
	if (txn)
		mdb_txn_abort(txn);
	if (code != 0)
		log_warning("%s: %s", s->path, mdb_strerror(code));
}

size_t store_clean(struct store *s, bool (*keep)(struct slice key, struct slice value, void *context), void *context)
{
	MDB_cursor *cursor = NULL;
	MDB_txn *txn = NULL;
	MDB_val k, v;
	size_t removed = 0;
	int code = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (code == 0)
		code = mdb_cursor_open(txn, s->dbi, &cursor);
	while (code == 0 && (code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (keep(slice_make(k.mv_data, k.mv_size), slice_make(v.mv_data, v.mv_size), context))
			continue;
		code = mdb_cursor_del(cursor, 0);
		removed++;
	}
	if (cursor)
		mdb_cursor_close(cursor);
	if (code == MDB_NOTFOUND) {
		code = mdb_txn_commit(txn);
		txn = NULL;
	}
	if (txn)
		mdb_txn_abort(txn);
	if (code != 0)
		log_warning("%s: %s", s->path, mdb_strerror(code));
	return code == 0 ? removed : 0;
}

#else

struct store *store_open(const char *map, const char *directory, struct err *err)
{
	err_set(err, ERR_PERMANENT, "addresses cannot be verified: this program was built without LMDB");
	return NULL;
}

void store_close(struct store **store)
{
}

bool store_get(struct store *s, struct slice key, struct arena *arena, struct slice *value)
{
	return false;
}

void store_put(struct store *s, struct slice key, struct slice value)
{
}

size_t store_clean(struct store *s, bool (*keep)(struct slice key, struct slice value, void *context), void *context)
{
	return 0;
}

#endif
