/* SPDX-License-Identifier: ISC */
#include "delivery/lib/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* The folder that holds `path`, or path itself when it ends in '/'. */
static int sync_folder_of(const char *path)
{
	struct slice whole = slice_of(path);
	ptrdiff_t slash = slice_rfind(whole, '/');
	struct str folder = { 0 };
	int fd, done;

	str_append(&folder, slash < 0 ? SLICE(".") : slice_sub(whole, 0, (size_t)slash + 1));
	fd = open(str_cstr(&folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	done = fd < 0 ? -1 : fsync(fd);
	if (fd >= 0)
		close(fd);
	str_free(&folder);
	return done;
}

/* path up to each '/', as mkdir -p. */
static bool make_folders(const char *path)
{
	struct str part = { 0 };
	bool ok = true;

	str_append_byte(&part, path[0]);
	for (const char *c = path + 1; ok && path[0] && *c; c++) {
		if (*c == '/')
			ok = mkdir(str_cstr(&part), 0700) == 0 || errno == EEXIST || access(str_cstr(&part), X_OK) == 0;
		str_append_byte(&part, *c);
	}
	str_free(&part);
	return ok;
}

/* --- Maildir --- */

struct maildir_names {
	struct str tmp, new;
	char host[128];
	struct timeval now;
};

static int create_tmp(const char *path, struct maildir_names *n)
{
	static const char *const subs[] = { "tmp/", "new/", "cur/" };
	int fd;

	str_printf(&n->tmp, "%stmp/%lld.P%d.%s", path, (long long)n->now.tv_sec, (int)getpid(), n->host);
	fd = open(str_cstr(&n->tmp), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	for (size_t i = 0; i < 3; i++) {
		struct str sub = { 0 };
		bool ok;

		str_printf(&sub, "%s%s", path, subs[i]);
		ok = make_folders(str_cstr(&sub));
		str_free(&sub);
		if (!ok)
			return -1;
	}
	return open(str_cstr(&n->tmp), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static bool put_into_new(const char *path, struct maildir_names *n, const struct stat *st)
{
	str_printf(&n->new, "%snew/%lld.V%llxI%llxM%06ld.%s", path, (long long)n->now.tv_sec, (long long)st->st_dev,
		   (long long)st->st_ino, (long)n->now.tv_usec, n->host);
	if (link(str_cstr(&n->tmp), str_cstr(&n->new)) != 0)
		return false;
	if (sync_folder_of(str_cstr(&n->new)) == 0)
		return true;
	int saved = errno;

	(void)unlink(str_cstr(&n->new));
	errno = saved;
	return false;
}

static void store_maildir(const struct mailbox *m, const struct content *c, struct outcome *o)
{
	struct maildir_names n = { .host = "localhost" };
	struct stat st;
	int fd;

	if (m->limit > 0 && content_size(c) + c->head.len > m->limit) {
		outcome_set_dsn(o, "5.2.2", "maildir delivery failed: message is larger than a mailbox may be");
		return;
	}
	gettimeofday(&n.now, NULL);
	(void)gethostname(n.host, sizeof(n.host) - 1);
	fd = create_tmp(m->path, &n);
	if (fd < 0) {
		outcome_set_errno(o, "create maildir file %s", str_cstr(&n.tmp));
	} else {
		bool written = fstat(fd, &st) == 0 && content_write(c, fd) && fsync(fd) == 0;
		int saved = errno;

		if (close(fd) != 0 && written) {
			written = false;
			saved = errno;
		}
		errno = saved;
		if (written && put_into_new(m->path, &n, &st))
			outcome_set_dsn(o, "2.0.0", "delivered to maildir");
		else
			outcome_set_errno(o, "maildir delivery failed: %s", m->path);
		(void)unlink(str_cstr(&n.tmp));
	}
	str_free(&n.tmp);
	str_free(&n.new);
}

/* --- mbox --- */

/* The file is what it was, as far as that can be had. */
static void restore(int fd, off_t size, const char *path, struct outcome *o)
{
	outcome_set_errno(o, "cannot append to %s", path);
	if (ftruncate(fd, size) != 0 || fsync(fd) != 0) {
		/* A returned message would hide that part of it stays in the mailbox. */
		outcome_set_dsn(o, "4.2.0", "cannot append to %s, and cannot truncate it to its size before: %s", path,
				strerror(errno));
	}
}

static bool is_same_file(const char *path, const struct stat *st)
{
	struct stat now;

	return lstat(path, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

static void append(const struct mailbox *m, const struct content *c, int fd, bool fresh, struct outcome *o)
{
	struct stat st;
	off_t end;

	if (!lock_file(&m->locks, fd)) {
		outcome_set_errno(o, "cannot lock %s", m->path);
		return;
	}
	/* A mail program may have put another file there while we waited. */
	if (fstat(fd, &st) != 0 || !is_same_file(m->path, &st)) {
		outcome_set_dsn(o, "4.2.0", "%s was replaced while it was being locked", m->path);
		return;
	}
	if (m->limit > 0 && (uint64_t)st.st_size + content_size(c) + c->head.len > m->limit) {
		outcome_set_dsn(o, "5.2.2", "cannot update mailbox %s: the mailbox is full", m->path);
		return;
	}
	end = lseek(fd, 0, SEEK_END);
	if (end < 0 || !content_write(c, fd) || fsync(fd) != 0 || (fresh && sync_folder_of(m->path) != 0)) {
		restore(fd, st.st_size, m->path, o);
		return;
	}
	if (m->any_file)
		outcome_set_dsn(o, "2.0.0", "delivered to file: %s", m->path);
	else
		outcome_set_dsn(o, "2.0.0", "delivered to mailbox");
}

/* A device or pipe: nothing to lock, nothing to take back. */
static void write_special(const struct mailbox *m, const struct content *c, struct outcome *o)
{
	int fd = open(m->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fcntl(fd, F_SETFL, 0) != 0 || !content_write(c, fd))
		outcome_set_errno(o, "cannot write to %s", m->path);
	else
		outcome_set_dsn(o, "2.0.0", "delivered to file: %s", m->path);
	if (fd >= 0)
		close(fd);
}

static bool acceptable(const struct mailbox *m, const struct stat *st, struct outcome *o)
{
	if (!S_ISREG(st->st_mode))
		outcome_set_dsn(o, "5.2.0", "destination %s is not a regular file", m->path);
	else if (st->st_nlink != 1)
		outcome_set_dsn(o, "5.2.0", "destination %s should have only one name", m->path);
	else if (m->strict_owner && st->st_uid != geteuid())
		outcome_set_dsn(o, "4.2.0", "destination %s is not owned by recipient", m->path);
	else
		return true;
	return false;
}

static void open_and_append(const struct mailbox *m, const struct content *c, struct outcome *o)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	bool fresh = false;
	struct stat st;
	int fd = open(m->path, flags);

	if (fd < 0 && errno == ENOENT) {
		fresh = true;
		if (make_folders(m->path))
			fd = open(m->path, flags | O_CREAT | O_EXCL, 0600);
	}
	if (fd < 0 || fstat(fd, &st) != 0)
		outcome_set_errno(o, "cannot open mailbox %s", m->path);
	else if (acceptable(m, &st, o))
		append(m, c, fd, fresh, o);
	if (fd >= 0)
		close(fd);
}

static void store_mbox(const struct mailbox *m, const struct content *c, struct outcome *o)
{
	struct stat st;
	int dot;

	if (m->any_file && lstat(m->path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode)) {
		write_special(m, c, o);
		return;
	}
	dot = lock_dot(&m->locks, m->path);
	if (dot < 0 && errno == ENOENT && make_folders(m->path))
		dot = lock_dot(&m->locks, m->path);
	if (dot < 0) {
		outcome_set_errno(o, "cannot lock %s", m->path);
		return;
	}
	open_and_append(m, c, o);
	if (dot > 0)
		lock_undot(m->path);
}

void mailbox_store(const struct mailbox *m, const struct content *c, struct outcome *o)
{
	size_t len = strlen(m->path);

	if (len == 0)
		outcome_set_dsn(o, "4.3.5", "a mailbox without a path");
	else if (m->path[len - 1] == '/')
		store_maildir(m, c, o);
	else
		store_mbox(m, c, o);
}
