/* SPDX-License-Identifier: ISC */
/*
 * Berkeley DB reads DB_CONFIG from the working directory when it is given no
 * environment (CVE-2017-10140).  A private environment with an explicit home that holds
 * nothing, opened with flags that read no file, keeps it from looking there.
 */
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/bdb.h"
#include "tables/table_types.h"

#define NO_HOME "/nonexistent"

struct bdb_writer {
	DB *db;
	DB_ENV *env;
};

struct bdb_table {
	DB *db;
	DB_ENV *env;
	int fd;              /* kept to notice a replacement */
	struct timespec modified;
	bool with_nul, without_nul; /* forms of keys that the file may have */
};

static bool db_error(struct err *err, const char *file, int code)
{
	return err_set(err, ERR_TEMPORARY, "%s: %s", file, db_strerror(code));
}

static void close_pair(DB *db, DB_ENV *env)
{
	if (db)
		db->close(db, 0);
	if (env)
		env->close(env, 0);
}

/* Paths must be absolute: the environment's home is nowhere. */
static bool open_pair(const char *file, DBTYPE type, uint32_t flags, DB **db, DB_ENV **env, struct err *err)
{
	char *path = file[0] == '/' ? mem_strdup(file) : realpath(".", NULL);
	int code;

	if (!path)
		return err_set_errno(err, ERR_TEMPORARY, "%s", file);
	if (file[0] != '/') {
		struct str joined = { 0 };

		str_printf(&joined, "%s/%s", path, file);
		free(path);
		path = str_detach(&joined);
	}
	*db = NULL;
	*env = NULL;
	code = db_env_create(env, 0);
	if (code == 0) {
		(*env)->set_errfile(*env, NULL);
		(*env)->set_cachesize(*env, 0, flags & DB_RDONLY ? 128 * 1024 : 32 * 1024 * 1024, 1);
		code = (*env)->open(*env, NO_HOME, DB_CREATE | DB_PRIVATE | DB_INIT_MPOOL, 0);
	}
	if (code == 0)
		code = db_create(db, *env, 0);
	if (code == 0)
		code = (*db)->open(*db, NULL, path, NULL, type, flags, 0600);
	free(path);
	if (code == 0)
		return true;
	close_pair(*db, *env);
	return db_error(err, file, code);
}

/* --- reading --- */

static void *bdb_open(const char *name, struct err *err)
{
	struct bdb_table *t = mem_alloc(sizeof(*t));
	struct str file = { 0 };
	struct stat st;

	str_printf(&file, "%s.db", name);
	t->fd = open(str_cstr(&file), O_RDONLY | O_CLOEXEC);
	if (t->fd < 0 || fstat(t->fd, &st) != 0) {
		err_set_errno(err, ERR_TEMPORARY, "open %s", str_cstr(&file));
		if (t->fd >= 0)
			close(t->fd);
		free(t);
		t = NULL;
	} else if (!open_pair(str_cstr(&file), DB_UNKNOWN, DB_RDONLY, &t->db, &t->env, err)) {
		close(t->fd);
		free(t);
		t = NULL;
	} else {
		t->modified = st.st_mtim;
		t->with_nul = t->without_nul = true;
	}
	str_free(&file);
	return t;
}

static void bdb_table_close(void *impl)
{
	struct bdb_table *t = impl;

	close_pair(t->db, t->env);
	close(t->fd);
	free(t);
}

/* `key` has a NUL behind it that `len` may count. */
static int get(struct bdb_table *t, const char *key, size_t len, struct arena *arena, struct slice *value)
{
	DBT k = { .data = (void *)(uintptr_t)key, .size = (uint32_t)len }, v = { 0 };
	int code = t->db->get(t->db, NULL, &k, &v, 0);

	if (code == 0) {
		struct slice found = slice_make(v.data, v.size);

		if (found.len > 0 && found.ptr[found.len - 1] == '\0')
			found.len--;
		*value = arena_slice(arena, found);
	}
	return code;
}

static enum table_result bdb_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				    struct err *err)
{
	struct bdb_table *t = impl;
	const char *text;
	int code = DB_NOTFOUND;

	if (key.len == 0 || memchr(key.ptr, '\0', key.len))
		return TABLE_NOT_FOUND;
	text = arena_cstr(arena, key);
	if (t->with_nul) {
		code = get(t, text, key.len + 1, arena, value);
		if (code == 0)
			t->without_nul = false;
	}
	if (code == DB_NOTFOUND && t->without_nul) {
		code = get(t, text, key.len, arena, value);
		if (code == 0)
			t->with_nul = false;
	}
	if (code == 0)
		return TABLE_FOUND;
	if (code == DB_NOTFOUND)
		return TABLE_NOT_FOUND;
	err_set(err, ERR_TEMPORARY, "%s", db_strerror(code));
	return TABLE_ERROR;
}

static bool bdb_changed(void *impl)
{
	struct bdb_table *t = impl;
	struct stat st;

	return fstat(t->fd, &st) == 0 &&
	       (st.st_nlink == 0 || st.st_mtim.tv_sec != t->modified.tv_sec ||
		st.st_mtim.tv_nsec != t->modified.tv_nsec);
}

const struct table_type table_hash = {
	.name = "hash", .folds = true, .open = bdb_open, .close = bdb_table_close, .lookup = bdb_lookup, .changed = bdb_changed
};
const struct table_type table_btree = {
	.name = "btree", .folds = true, .open = bdb_open, .close = bdb_table_close, .lookup = bdb_lookup, .changed = bdb_changed
};

/* --- writing --- */

struct bdb_writer *bdb_create(const char *file, bool btree, struct err *err)
{
	struct bdb_writer *w = mem_alloc(sizeof(*w));

	if (!open_pair(file, btree ? DB_BTREE : DB_HASH, DB_CREATE | DB_EXCL, &w->db, &w->env, err)) {
		free(w);
		return NULL;
	}
	return w;
}

struct bdb_writer *bdb_open_for_change(const char *file, struct err *err)
{
	struct bdb_writer *w = mem_alloc(sizeof(*w));

	if (!open_pair(file, DB_UNKNOWN, 0, &w->db, &w->env, err)) {
		free(w);
		return NULL;
	}
	return w;
}

int bdb_put(struct bdb_writer *w, struct slice key, struct slice value, bool replace, struct err *err)
{
	char *k = mem_slicedup(key), *v = mem_slicedup(value);
	DBT dk = { .data = k, .size = (uint32_t)key.len + 1 };
	DBT dv = { .data = v, .size = (uint32_t)value.len + 1 };
	int code = w->db->put(w->db, NULL, &dk, &dv, replace ? 0 : DB_NOOVERWRITE);

	free(k);
	free(v);
	if (code == DB_KEYEXIST)
		return 0;
	if (code != 0) {
		db_error(err, "write", code);
		return -1;
	}
	return 1;
}

int bdb_delete(struct bdb_writer *w, struct slice key, struct err *err)
{
	char *k = mem_slicedup(key);
	DBT with = { .data = k, .size = (uint32_t)key.len + 1 };
	DBT without = { .data = k, .size = (uint32_t)key.len };
	int code = w->db->del(w->db, NULL, &with, 0);

	if (code == DB_NOTFOUND && key.len > 0)
		code = w->db->del(w->db, NULL, &without, 0);
	free(k);
	if (code != 0 && code != DB_NOTFOUND)
		db_error(err, "delete", code);
	return code == 0 ? 1 : code == DB_NOTFOUND ? 0 : -1;
}

bool bdb_close(struct bdb_writer **wp, struct err *err)
{
	struct bdb_writer *w = *wp;
	int code = w->db->sync(w->db, 0);

	*wp = NULL;
	close_pair(w->db, w->env);
	free(w);
	return code == 0 || db_error(err, "sync", code);
}

bool bdb_walk(const char *file, void (*fn)(struct slice key, struct slice value, void *context), void *context,
	      struct err *err)
{
	DB *db;
	DB_ENV *env;
	DBC *cursor;
	DBT k = { 0 }, v = { 0 };
	int code;

	if (!open_pair(file, DB_UNKNOWN, DB_RDONLY, &db, &env, err))
		return false;
	code = db->cursor(db, NULL, &cursor, 0);
	while (code == 0 && (code = cursor->c_get(cursor, &k, &v, DB_NEXT)) == 0) {
		struct slice key = slice_make(k.data, k.size), value = slice_make(v.data, v.size);

		if (key.len > 0 && key.ptr[key.len - 1] == '\0')
			key.len--;
		if (value.len > 0 && value.ptr[value.len - 1] == '\0')
			value.len--;
		fn(key, value, context);
	}
	close_pair(db, env);
	return code == DB_NOTFOUND || db_error(err, file, code);
}
