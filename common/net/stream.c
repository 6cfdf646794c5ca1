/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/net/stream.h"

#define INPUT_FIRST 4096u
#define INPUT_MAX   65536u
#define OUTPUT_FULL 16384u

struct stream {
	const struct stream_ops *ops;
	void *backend;
	int fd;                /* -1 for other backends */
	struct task_io *io;
	double deadline;
	char *in;              /* NULL while nothing is held */
	size_t in_cap, in_pos, in_len;
	bool likely_more;      /* the last read filled the buffer: read before waiting */
	struct str out;
	int error;
	uint64_t bytes_in, bytes_out;
};

/* --- the socket backend: its object is the stream itself --- */

static ssize_t fd_read(void *backend, void *buf, size_t len)
{
	return recv(((struct stream *)backend)->fd, buf, len, 0);
}

static ssize_t fd_write(void *backend, const void *buf, size_t len)
{
	return send(((struct stream *)backend)->fd, buf, len, MSG_NOSIGNAL);
}

static int fd_wait(void *backend, int events, double deadline)
{
	return task_io_wait(((struct stream *)backend)->io, events, deadline);
}

static ssize_t fd_sendfile(void *backend, int fd, off_t *offset, size_t len)
{
	return sendfile(((struct stream *)backend)->fd, fd, offset, len);
}

static void fd_close(void *backend)
{
	struct stream *s = backend;

	task_io_free(&s->io);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static const struct stream_ops fd_ops = { fd_read, fd_write, fd_wait, fd_sendfile, fd_close };

struct stream *stream_of_fd(int fd)
{
	struct stream *s = stream_of_ops(&fd_ops, NULL);
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	s->backend = s;
	s->fd = fd;
	s->io = task_io_create(fd);
	return s;
}

struct stream *stream_of_ops(const struct stream_ops *ops, void *backend)
{
	struct stream *s = mem_alloc(sizeof(*s));

	s->ops = ops;
	s->backend = backend;
	s->fd = -1;
	s->deadline = TASK_FOREVER;
	return s;
}

void stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	if (!s)
		return;
	s->ops->close(s->backend);
	if (s->fd >= 0)
		fd_close(s);
	free(s->in);
	str_free(&s->out);
	free(s);
	*sp = NULL;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

int stream_errno(const struct stream *s)
{
	return s->error;
}

const char *stream_status_text(enum stream_status status)
{
	static const char *const text[] = {
		[STREAM_OK] = "success",       [STREAM_EOF] = "lost connection",
		[STREAM_TIMEOUT] = "timeout",  [STREAM_ERROR] = "lost connection",
		[STREAM_TOO_LONG] = "line too long", [STREAM_CANCELLED] = "shutting down",
	};

	return text[status];
}

size_t stream_replace(struct stream *s, const struct stream_ops *ops, void *backend)
{
	size_t dropped = s->in_len - s->in_pos;

	s->in_pos = s->in_len = 0;
	s->likely_more = true;
	str_free(&s->out);
	s->ops = ops;
	s->backend = backend;
	return dropped;
}

enum task_wait stream_wait_fd(struct stream *s, int events, double deadline)
{
	return s->io ? task_io_wait(s->io, events, deadline) : TASK_CANCELLED;
}

void *stream_backend(const struct stream *s, const struct stream_ops *ops)
{
	return s->ops == ops ? s->backend : NULL;
}

double stream_deadline(const struct stream *s)
{
	return s->deadline;
}

void stream_set_deadline(struct stream *s, double deadline)
{
	s->deadline = deadline;
}

void stream_set_timeout(struct stream *s, double seconds)
{
	s->deadline = loop_now() + seconds;
}

static enum stream_status wait_for(struct stream *s, int events)
{
	switch (s->ops->wait(s->backend, events, s->deadline)) {
	case TASK_READY:
		return STREAM_OK;
	case TASK_TIMEOUT:
		return STREAM_TIMEOUT;
	default:
		return STREAM_CANCELLED;
	}
}

static enum stream_status failed(struct stream *s)
{
	s->error = errno;
	return STREAM_ERROR;
}

/* --- input --- */

size_t stream_pending(const struct stream *s)
{
	return s->in_len - s->in_pos;
}

static void drop_empty_input(struct stream *s)
{
	if (s->in_pos < s->in_len)
		return;
	free(s->in);
	s->in = NULL;
	s->in_cap = s->in_pos = s->in_len = 0;
}

/* Room for more input behind what is held, at most `max` bytes in all. */
static bool make_room(struct stream *s, size_t max)
{
	if (s->in_pos > 0 && (s->in_pos == s->in_len || s->in_len == s->in_cap)) {
		memmove(s->in, s->in + s->in_pos, s->in_len - s->in_pos);
		s->in_len -= s->in_pos;
		s->in_pos = 0;
	}
	if (s->in_len == s->in_cap || (s->likely_more && s->in_cap < INPUT_MAX)) {
		size_t cap = s->in_cap ? s->in_cap * 2 : INPUT_FIRST;

		if (s->likely_more && cap < INPUT_MAX)
			cap = INPUT_MAX;
		if (s->in_cap >= max)
			return s->in_len < s->in_cap;
		s->in = mem_realloc(s->in, cap);
		s->in_cap = cap;
	}
	return true;
}

/* Reads once, waiting when nothing is there. */
static enum stream_status fill(struct stream *s, size_t max)
{
	if (!s->likely_more) {
		drop_empty_input(s);
		enum stream_status status = wait_for(s, TASK_READ);

		if (status != STREAM_OK)
			return status;
	}
	for (;;) {
		if (!make_room(s, max))
			return STREAM_TOO_LONG;
		size_t room = s->in_cap - s->in_len;
		ssize_t got = s->ops->read(s->backend, s->in + s->in_len, room);

		if (got > 0) {
			s->in_len += (size_t)got;
			s->bytes_in += (uint64_t)got;
			s->likely_more = (size_t)got == room;
			return STREAM_OK;
		}
		s->likely_more = false;
		if (got == 0)
			return STREAM_EOF;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return failed(s);
		drop_empty_input(s);
		enum stream_status status = wait_for(s, TASK_READ);

		if (status != STREAM_OK)
			return status;
	}
}

static struct slice held(const struct stream *s)
{
	return slice_make(s->in ? s->in + s->in_pos : NULL, s->in_len - s->in_pos);
}

enum stream_status stream_read_line(struct stream *s, size_t max, struct slice *line, bool *bare_lf)
{
	size_t seen = 0;

	if (max > INPUT_MAX - 2)
		max = INPUT_MAX - 2;
	for (;;) {
		struct slice data = held(s);
		ptrdiff_t at = slice_find(slice_sub(data, seen, data.len), '\n');

		if (at >= 0) {
			size_t len = seen + (size_t)at;
			bool with_cr = len > 0 && data.ptr[len - 1] == '\r';

			if (len - with_cr > max)
				break;
			*line = slice_sub(data, 0, len - with_cr);
			if (bare_lf)
				*bare_lf = !with_cr;
			s->in_pos += len + 1;
			return STREAM_OK;
		}
		seen = data.len;
		if (seen > max + 1)
			break;
		enum stream_status status = stream_flush(s);

		if (status == STREAM_OK)
			status = fill(s, INPUT_MAX);
		if (status != STREAM_OK) {
			*line = SLICE_NONE;
			return status;
		}
	}
	*line = slice_sub(held(s), 0, max);
	s->in_pos += max;
	return STREAM_TOO_LONG;
}

enum stream_status stream_skip_line(struct stream *s, size_t max)
{
	for (;;) {
		struct slice data = held(s);
		ptrdiff_t at = slice_find(data, '\n');

		if (at >= 0) {
			s->in_pos += (size_t)at + 1;
			return STREAM_OK;
		}
		s->in_pos = s->in_len;
		if (data.len > max)
			return STREAM_TOO_LONG;
		max -= data.len;
		enum stream_status status = fill(s, INPUT_MAX);

		if (status != STREAM_OK)
			return status;
	}
}

enum stream_status stream_peek(struct stream *s, struct slice *data)
{
	enum stream_status status = STREAM_OK;

	if (s->in_pos == s->in_len) {
		status = stream_flush(s);
		if (status == STREAM_OK)
			status = fill(s, INPUT_MAX);
	}
	*data = held(s);
	return status;
}

enum stream_status stream_more(struct stream *s, size_t max, struct slice *data)
{
	enum stream_status status = stream_flush(s);

	if (s->in_len - s->in_pos >= max)
		status = STREAM_TOO_LONG;
	if (status == STREAM_OK)
		status = fill(s, max > INPUT_MAX ? max : INPUT_MAX);
	*data = held(s);
	return status;
}

void stream_consume(struct stream *s, size_t len)
{
	BUG_IF(len > s->in_len - s->in_pos);
	s->in_pos += len;
}

bool stream_input_ready(struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	if (s->in_pos < s->in_len)
		return true;
	return s->fd >= 0 && poll(&p, 1, 0) > 0;
}

/* --- output --- */

static enum stream_status write_all(struct stream *s, struct slice data)
{
	while (data.len > 0) {
		ssize_t sent = s->ops->write(s->backend, data.ptr, data.len);

		if (sent >= 0) {
			s->bytes_out += (uint64_t)sent;
			data = slice_sub(data, (size_t)sent, data.len);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return failed(s);
		enum stream_status status = wait_for(s, TASK_WRITE);

		if (status != STREAM_OK)
			return status;
	}
	return STREAM_OK;
}

enum stream_status stream_flush(struct stream *s)
{
	enum stream_status status;

	if (s->out.len == 0)
		return STREAM_OK;
	status = write_all(s, str_slice(&s->out));
	str_free(&s->out);
	return status;
}

enum stream_status stream_write(struct stream *s, struct slice data)
{
	if (s->out.len + data.len > OUTPUT_FULL) {
		enum stream_status status = stream_flush(s);

		if (status != STREAM_OK)
			return status;
		if (data.len >= OUTPUT_FULL)
			return write_all(s, data);
	}
	str_append(&s->out, data);
	return STREAM_OK;
}

enum stream_status stream_printf(struct stream *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	str_vprintf(&s->out, format, ap);
	va_end(ap);
	return s->out.len > OUTPUT_FULL ? stream_flush(s) : STREAM_OK;
}

static enum stream_status copy_file(struct stream *s, int fd, off_t offset, size_t len)
{
	char *buf = mem_alloc(INPUT_MAX);
	enum stream_status status = STREAM_OK;

	while (len > 0 && status == STREAM_OK) {
		ssize_t got = file_read_at(fd, buf, len < INPUT_MAX ? len : INPUT_MAX, (uint64_t)offset);

		if (got <= 0) {
			s->error = got < 0 ? errno : EIO;
			status = STREAM_ERROR;
			break;
		}
		status = write_all(s, slice_make(buf, (size_t)got));
		offset += got;
		len -= (size_t)got;
	}
	free(buf);
	return status;
}

enum stream_status stream_send_file(struct stream *s, int fd, off_t offset, size_t len)
{
	enum stream_status status = stream_flush(s);

	if (status != STREAM_OK)
		return status;
	if (!s->ops->sendfile)
		return copy_file(s, fd, offset, len);
	while (len > 0) {
		ssize_t sent = s->ops->sendfile(s->backend, fd, &offset, len);

		if (sent > 0) {
			s->bytes_out += (uint64_t)sent;
			len -= (size_t)sent;
			continue;
		}
		if (sent == 0) {
			s->error = EIO; /* the file is shorter than it was said to be */
			return STREAM_ERROR;
		}
		if (errno == EINTR)
			continue;
		if (errno == EINVAL || errno == ENOSYS)
			return copy_file(s, fd, offset, len);
		if (errno != EAGAIN)
			return failed(s);
		status = wait_for(s, TASK_WRITE);
		if (status != STREAM_OK)
			return status;
	}
	return STREAM_OK;
}

uint64_t stream_bytes_in(const struct stream *s)
{
	return s->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *s)
{
	return s->bytes_out;
}
