/* SPDX-License-Identifier: ISC */
#include "tests/support/memory_stream.h"

#include <errno.h>

#include "common/base/task.h"

/* True: this call fails, with errno. */
static bool stutters(struct memory_stream *m)
{
	if (!m->stutter || m->turn++ % 3 == 2)
		return false;
	errno = m->turn % 3 == 1 ? EINTR : EAGAIN;
	return true;
}

static ssize_t memory_read(void *backend, void *buf, size_t len)
{
	struct memory_stream *m = backend;
	struct slice left = slice_sub(m->input, m->at, m->input.len);

	if (stutters(m))
		return -1;
	if (left.len == 0) {
		if (m->end == MEMORY_EOF)
			return 0;
		errno = m->end == MEMORY_ERROR ? ECONNRESET : EAGAIN;
		return -1;
	}
	if (m->by_line && slice_find(left, '\n') >= 0)
		left.len = (size_t)slice_find(left, '\n') + 1;
	if (m->piece && left.len > m->piece)
		left.len = m->piece;
	if (left.len > len)
		left.len = len;
	memcpy(buf, left.ptr, left.len);
	m->at += left.len;
	return (ssize_t)left.len;
}

static ssize_t memory_write(void *backend, const void *buf, size_t len)
{
	struct memory_stream *m = backend;

	if (stutters(m))
		return -1;
	if (m->piece && len > m->piece)
		len = m->piece;
	if (m->write_limit && m->output.len + len > m->write_limit) {
		errno = EPIPE;
		return -1;
	}
	str_append(&m->output, slice_make(buf, len));
	return (ssize_t)len;
}

static int memory_wait(void *backend, int events, double deadline)
{
	struct memory_stream *m = backend;

	if (events == TASK_WRITE || m->at < m->input.len || m->end == MEMORY_EOF || m->end == MEMORY_ERROR)
		return TASK_READY;
	return m->end == MEMORY_CANCELLED ? TASK_CANCELLED : TASK_TIMEOUT;
}

static void memory_close(void *backend)
{
	((struct memory_stream *)backend)->closed = true;
}

struct stream *memory_stream_open(struct memory_stream *m)
{
	static const struct stream_ops ops = { memory_read, memory_write, memory_wait, NULL, memory_close };

	m->at = 0;
	m->turn = 0;
	m->closed = false;
	str_clear(&m->output);
	return stream_of_ops(&ops, m);
}
