/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/lmdb.h"

#define ROOM_MIN ((size_t)64 << 20)
#define LARGE    1024           /* bytes from which an entry may take pages of its own */

struct db_writer {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	int lock_fd;             /* of a file that others read; -1: a new one */
	bool append;             /* keys have come in their order so far */
};

static bool fail(struct err *err, const char *what, int code)
{
	return err_set(err, ERR_TEMPORARY, "%s: %s", what, mdb_strerror(code));
}

static void drop(struct db_writer *w)
{
	if (w->txn)
		mdb_txn_abort(w->txn);
	mdb_env_close(w->env);
	if (w->lock_fd >= 0)
		close(w->lock_fd);
	free(w);
}

static struct db_writer *start(const char *file, size_t room, int lock_fd, struct err *err)
{
	struct db_writer *w = mem_alloc(sizeof(*w));
	int code = mdb_env_create(&w->env);

	w->lock_fd = lock_fd;
	w->append = lock_fd < 0;
	if (code == 0)
		code = mdb_env_set_mapsize(w->env, room);
	/* Synchronized once, at the end. */
	if (code == 0)
		code = mdb_env_open(w->env, file, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
	if (code == 0)
		code = mdb_txn_begin(w->env, NULL, 0, &w->txn);
	if (code == 0)
		code = mdb_dbi_open(w->txn, NULL, 0, &w->dbi);
	if (code == 0)
		return w;
	fail(err, file, code);
	drop(w);
	return NULL;
}

struct db_writer *lmdb_writer_create(const char *file, const struct db_size *size, struct err *err)
{
	/* Pages may be half empty, and a large value fills up its last page. */
	size_t room = 4 * (size->bytes + 64 * size->entries) + size->bytes / LARGE * 8192 + ROOM_MIN;
	int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		err_set_errno(err, ERR_TEMPORARY, "create %s", file);
		return NULL;
	}
	close(fd);
	return start(file, (room + 65535) & ~(size_t)65535, -1, err);
}

struct db_writer *lmdb_writer_open(const char *file, struct err *err)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	struct stat st;

	/* Who changes it waits for who does: the lock that Postfix takes. */
	if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0) {
		err_set_errno(err, ERR_TEMPORARY, "open %s", file);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	return start(file, (size_t)st.st_size * 2 + ROOM_MIN, fd, err);
}

int lmdb_writer_put(struct db_writer *w, struct slice key, struct slice value, bool replace, struct err *err)
{
	MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, v = { value.len, (void *)(uintptr_t)value.ptr };
	unsigned flags = replace ? 0 : MDB_NOOVERWRITE;
	int code = mdb_put(w->txn, w->dbi, &k, &v, flags | (w->append ? MDB_APPEND : 0));

	if (code == MDB_KEYEXIST && w->append) {
		w->append = false;
		code = mdb_put(w->txn, w->dbi, &k, &v, flags);
	}
	if (code == MDB_KEYEXIST)
		return 0;
	if (code == MDB_BAD_VALSIZE) {
		err_set(err, ERR_LIMIT, "keys of LMDB have 1 to %d bytes", mdb_env_get_maxkeysize(w->env));
		return -1;
	}
	if (code != 0)
		fail(err, "write", code);
	return code == 0 ? 1 : -1;
}

int lmdb_writer_delete(struct db_writer *w, struct slice key, struct err *err)
{
	MDB_val k = { key.len, (void *)(uintptr_t)key.ptr };
	int code = mdb_del(w->txn, w->dbi, &k, NULL);

	if (code != 0 && code != MDB_NOTFOUND && code != MDB_BAD_VALSIZE)
		fail(err, "delete", code);
	return code == 0 ? 1 : code == MDB_NOTFOUND || code == MDB_BAD_VALSIZE ? 0 : -1;
}

bool lmdb_writer_finish(struct db_writer *w, struct err *err)
{
	int code = mdb_txn_commit(w->txn);

	w->txn = NULL;
	if (code == 0)
		code = mdb_env_sync(w->env, 1);
	drop(w);
	return code == 0 || fail(err, "write", code);
}
