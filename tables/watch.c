/* SPDX-License-Identifier: ISC */
#include "tables/watch.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool file_watch_open(struct file_watch *w, const char *path, struct err *err)
{
	/* Not to hang on a FIFO that somebody put there. */
	w->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "open %s", path);
	bool ok = fstat(w->fd, &w->seen) == 0 || err_set_errno(err, ERR_TEMPORARY, "stat %s", path);

	if (ok && !S_ISREG(w->seen.st_mode))
		ok = err_set(err, ERR_TEMPORARY, "%s is not a file", path);
	if (!ok)
		file_watch_close(w);
	return ok;
}

void file_watch_close(struct file_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* The time of change moves with every write, and when a name of the file comes, goes or is renamed. */
bool file_watch_changed(const struct file_watch *w)
{
	struct stat st;

	return w->fd >= 0 && fstat(w->fd, &st) == 0 &&
	       (st.st_nlink == 0 || st.st_size != w->seen.st_size || st.st_ctim.tv_sec != w->seen.st_ctim.tv_sec ||
		st.st_ctim.tv_nsec != w->seen.st_ctim.tv_nsec);
}

void file_watch_renew(struct file_watch *w)
{
	(void)fstat(w->fd, &w->seen);
}

bool file_watch_read(const struct file_watch *w, struct str *out, struct err *err)
{
	if (file_read_all(w->fd, FILE_WATCH_MAX, out))
		return true;
	if (errno == EFBIG)
		return err_set(err, ERR_LIMIT, "larger than %u bytes", FILE_WATCH_MAX);
	return err_set_errno(err, ERR_TEMPORARY, "read");
}
