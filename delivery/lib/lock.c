/* SPDX-License-Identifier: ISC */
#include "delivery/lib/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/str.h"

bool lock_parse(struct lock_style *style, const char *words, struct err *err)
{
	struct slice rest = slice_of(words), word;

	style->fcntl = style->flock = style->dotlock = false;
	while (slice_word(&rest, " ,\t\r\n", &word)) {
		if (slice_eq(word, SLICE("fcntl")))
			style->fcntl = true;
		else if (slice_eq(word, SLICE("flock")))
			style->flock = true;
		else if (slice_eq(word, SLICE("dotlock")))
			style->dotlock = true;
		else
			return err_set(err, ERR_SYNTAX, "\"%.*s\" is no lock: expected fcntl, flock or dotlock",
				       SLICE_FMT(word));
	}
	return style->fcntl || style->flock || style->dotlock ||
	       err_set(err, ERR_SYNTAX, "no lock is named: expected fcntl, flock or dotlock");
}

static void pause_for(double seconds)
{
	struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	(void)nanosleep(&t, NULL);
}

static void remove_if_stale(const struct lock_style *style, const char *lock)
{
	struct stat st;

	if (lstat(lock, &st) == 0 && difftime(time(NULL), st.st_mtime) > style->stale)
		(void)unlink(lock);
}

int lock_dot(const struct lock_style *style, const char *path)
{
	struct str lock = { 0 };
	int result = -1;

	if (!style->dotlock)
		return 0;
	str_printf(&lock, "%s.lock", path);
	for (int i = 0; i < style->attempts && result < 0; i++) {
		int fd = open(str_cstr(&lock), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
			result = 1;
		} else if (errno == EACCES || errno == EPERM || errno == EROFS) {
			result = 0;
		} else if (errno != EEXIST) {
			break;
		} else {
			remove_if_stale(style, str_cstr(&lock));
			errno = EAGAIN;
			if (i + 1 < style->attempts)
				pause_for(style->delay);
			errno = EAGAIN;
		}
	}
	str_free(&lock);
	return result;
}

void lock_undot(const char *path)
{
	struct str lock = { 0 };
	int saved = errno;

	str_printf(&lock, "%s.lock", path);
	(void)unlink(str_cstr(&lock));
	str_free(&lock);
	errno = saved;
}

static bool try_lock(const struct lock_style *style, int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return (!style->fcntl || fcntl(fd, F_SETLK, &whole) == 0) && (!style->flock || flock(fd, LOCK_EX | LOCK_NB) == 0);
}

bool lock_file(const struct lock_style *style, int fd)
{
	for (int i = 0; i < style->attempts; i++) {
		if (try_lock(style, fd))
			return true;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return false;
		if (i + 1 < style->attempts)
			pause_for(style->delay);
		errno = EAGAIN;
	}
	return false;
}
