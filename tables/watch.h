/* SPDX-License-Identifier: ISC */
/*
 * A file that a table was read from: is it still what it was?  Asked by its
 * descriptor alone, so that a process in an empty root can ask too.
 */
#ifndef POSTRIDER_TABLES_WATCH_H
#define POSTRIDER_TABLES_WATCH_H

#include <sys/stat.h>

#include "common/base/err.h"
#include "common/base/str.h"

struct file_watch {
	int fd;                  /* -1: none, never changed */
	struct stat seen;
};

/* Opens a regular file for reading.  False with ERR_TEMPORARY; then fd is -1. */
bool file_watch_open(struct file_watch *w, const char *path, struct err *err) MUST_USE;
void file_watch_close(struct file_watch *w);
/* Written to, replaced, removed or renamed since it was opened (or since file_watch_renew)?  One fstat. */
bool file_watch_changed(const struct file_watch *w);
void file_watch_renew(struct file_watch *w);
/* Appends the whole content (FILE_WATCH_MAX at most, else ERR_LIMIT). */
#define FILE_WATCH_MAX (1u << 30)
bool file_watch_read(const struct file_watch *w, struct str *out, struct err *err) MUST_USE;

#endif
