/* SPDX-License-Identifier: ISC */
#include "common/base/file.h"

#include <errno.h>
#include <unistd.h>

#define PIECE 65536u

ssize_t file_read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

bool file_read_all(int fd, size_t max, struct str *out)
{
	size_t start = out->len;
	ssize_t got;

	do {
		str_reserve(out, PIECE);
		got = file_read_at(fd, out->data + out->len, PIECE, out->len - start);
		if (got < 0)
			return false;
		out->len += (size_t)got;
		out->data[out->len] = '\0';
		if (out->len - start > max) {
			errno = EFBIG;
			return false;
		}
	} while (got == (ssize_t)PIECE);
	return true;
}

/* True: go on with what is left of it. */
static bool advance(ssize_t done, struct slice *data)
{
	if (done < 0)
		return errno == EINTR;
	if (done == 0) {
		errno = ENOSPC;
		return false;
	}
	*data = slice_sub(*data, (size_t)done, data->len);
	return true;
}

bool file_write(int fd, struct slice data)
{
	while (data.len > 0)
		if (!advance(write(fd, data.ptr, data.len), &data))
			return false;
	return true;
}

bool file_write_at(int fd, struct slice data, uint64_t offset)
{
	uint64_t end = offset + data.len;

	while (data.len > 0)
		if (!advance(pwrite(fd, data.ptr, data.len, (off_t)(end - data.len)), &data))
			return false;
	return true;
}
