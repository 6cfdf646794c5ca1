/* SPDX-License-Identifier: ISC */
/*
 * Writing hash and btree files, by the library.  It reads DB_CONFIG from the working directory when it is given no
 * environment (CVE-2017-10140).  A private environment with an explicit home that holds
 * nothing, opened with flags that read no file, keeps it from looking there.
 */
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/bdb.h"

#define NO_HOME "/nonexistent"
#define WRITE_CACHE_MIN (32u * 1024 * 1024)
#define WRITE_CACHE_MAX (512u * 1024 * 1024)

struct db_writer {
	DB *db;
	DB_ENV *env;
	int lock_fd;             /* of a file that others read; -1: a new one */
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

struct opening {
	DBTYPE type;
	uint32_t flags, cache, entries; /* entries: about how many will come, 0 unknown */
};

/* Paths must be absolute: the environment's home is nowhere. */
static bool open_pair(const char *file, const struct opening *how, DB **db, DB_ENV **env, struct err *err)
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
		(*env)->set_cachesize(*env, 0, how->cache, 1);
		code = (*env)->open(*env, NO_HOME, DB_CREATE | DB_PRIVATE | DB_INIT_MPOOL, 0);
	}
	if (code == 0)
		code = db_create(db, *env, 0);
	if (code == 0 && how->type == DB_HASH && how->entries > 0)
		code = (*db)->set_h_nelem(*db, how->entries);
	if (code == 0)
		code = (*db)->open(*db, NULL, path, NULL, how->type, how->flags, 0600);
	free(path);
	if (code == 0)
		return true;
	close_pair(*db, *env);
	return db_error(err, file, code);
}

static struct db_writer *writer_start(const char *file, const struct opening *how, int lock_fd, struct err *err)
{
	struct db_writer *w = mem_alloc(sizeof(*w));

	w->lock_fd = lock_fd;
	if (open_pair(file, how, &w->db, &w->env, err))
		return w;
	if (lock_fd >= 0)
		close(lock_fd);
	free(w);
	return NULL;
}

/* All of the file in memory until it is written out, when it is not too large for that. */
static struct db_writer *create(DBTYPE type, const char *file, const struct db_size *size, struct err *err)
{
	size_t cache = 2 * size->bytes + 64 * size->entries + WRITE_CACHE_MIN;
	struct opening how = {
		.type = type, .flags = DB_CREATE | DB_EXCL,
		.cache = (uint32_t)(cache > WRITE_CACHE_MAX ? WRITE_CACHE_MAX : cache),
		.entries = (uint32_t)(size->entries > UINT32_MAX ? UINT32_MAX : size->entries),
	};

	return writer_start(file, &how, -1, err);
}

static struct db_writer *create_hash(const char *file, const struct db_size *size, struct err *err)
{
	return create(DB_HASH, file, size, err);
}

static struct db_writer *create_btree(const char *file, const struct db_size *size, struct err *err)
{
	return create(DB_BTREE, file, size, err);
}

static struct db_writer *writer_open(const char *file, struct err *err)
{
	static const struct opening how = { DB_UNKNOWN, 0, WRITE_CACHE_MIN, 0 };
	int fd = open(file, O_RDWR | O_CLOEXEC);

	/* Who changes it waits for who does: the lock that Postfix takes. */
	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return writer_start(file, &how, fd, err);
	err_set_errno(err, ERR_TEMPORARY, "open %s", file);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int writer_put(struct db_writer *w, struct slice key, struct slice value, bool replace, struct err *err)
{
	DBT k = { .data = (void *)(uintptr_t)key.ptr, .size = (uint32_t)key.len };
	DBT v = { .data = (void *)(uintptr_t)value.ptr, .size = (uint32_t)value.len };
	int code = w->db->put(w->db, NULL, &k, &v, replace ? 0 : DB_NOOVERWRITE);

	if (code == DB_KEYEXIST)
		return 0;
	return code == 0 ? 1 : (db_error(err, "write", code), -1);
}

static int writer_delete(struct db_writer *w, struct slice key, struct err *err)
{
	DBT k = { .data = (void *)(uintptr_t)key.ptr, .size = (uint32_t)key.len };
	int code = w->db->del(w->db, NULL, &k, 0);

	if (code == DB_NOTFOUND)
		return 0;
	return code == 0 ? 1 : (db_error(err, "delete", code), -1);
}

static bool writer_finish(struct db_writer *w, struct err *err)
{
	int code = w->db->sync(w->db, 0);

	close_pair(w->db, w->env);
	if (w->lock_fd >= 0)
		close(w->lock_fd);
	free(w);
	return code == 0 || db_error(err, "write", code);
}

const struct db_format db_format_hash = {
	.type = "hash", .suffix = ".db", .nul = true,
	.open = bdb_reader_open, .close = bdb_reader_close, .get = bdb_reader_get, .walk = bdb_reader_walk,
	.create = create_hash, .open_for_change = writer_open, .put = writer_put, .del = writer_delete,
	.finish = writer_finish,
};
const struct db_format db_format_btree = {
	.type = "btree", .suffix = ".db", .nul = true, .sorted = true,
	.open = bdb_reader_open, .close = bdb_reader_close, .get = bdb_reader_get, .walk = bdb_reader_walk,
	.create = create_btree, .open_for_change = writer_open, .put = writer_put, .del = writer_delete,
	.finish = writer_finish,
};
