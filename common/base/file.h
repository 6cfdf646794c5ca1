/* SPDX-License-Identifier: ISC */
/*
 * Reading and writing files to the end of what was asked: a call that did less is continued, one that was
 * interrupted is repeated.  For regular files, and for blocking descriptors.
 */
#ifndef POSTRIDER_COMMON_BASE_FILE_H
#define POSTRIDER_COMMON_BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/str.h"

/* Bytes read, which are fewer than `len` at the end of the file only; -1 and errno. */
ssize_t file_read_at(int fd, void *buf, size_t len, uint64_t offset) MUST_USE;
/* From the start of the file, whatever its position, appended; more than `max` bytes: false and EFBIG. */
bool file_read_all(int fd, size_t max, struct str *out) MUST_USE;
/* All of it, or false and errno (a full disk: ENOSPC). */
bool file_write(int fd, struct slice data) MUST_USE;
bool file_write_at(int fd, struct slice data, uint64_t offset) MUST_USE;

#endif
