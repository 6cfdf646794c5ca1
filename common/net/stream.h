/* SPDX-License-Identifier: ISC */
/*
 * A buffered byte stream over a socket, for tasks.  Reading and writing
 * suspend the task; each call obeys the stream's deadline.  Backends are an
 * operations table, so that TLS and a fuzzer's memory stand in for a socket.
 * Buffers are taken when needed and given back when empty: an idle session
 * holds none.
 */
#ifndef POSTRIDER_COMMON_NET_STREAM_H
#define POSTRIDER_COMMON_NET_STREAM_H

#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/base/task.h"

struct stream;

enum stream_status {
	STREAM_OK,
	STREAM_EOF,        /* orderly end by the peer */
	STREAM_TIMEOUT,    /* the deadline passed */
	STREAM_ERROR,      /* see stream_errno() */
	STREAM_TOO_LONG,   /* a line longer than the limit */
	STREAM_CANCELLED
};

/*
 * Backend: read and write behave as read(2) and write(2) on a non-blocking
 * descriptor; wait suspends till `events` (TASK_READ, TASK_WRITE) or the deadline, and
 * returns an enum task_wait.  sendfile may be NULL (then data is copied).  close frees.
 */
struct stream_ops {
	ssize_t (*read)(void *backend, void *buf, size_t len);
	ssize_t (*write)(void *backend, const void *buf, size_t len);
	int (*wait)(void *backend, int events, double deadline);
	ssize_t (*sendfile)(void *backend, int fd, off_t *offset, size_t len);
	void (*close)(void *backend);
};

/* Takes the non-blocking (it is made so) socket; closed with the stream. */
struct stream *stream_of_fd(int fd);
struct stream *stream_of_ops(const struct stream_ops *ops, void *backend);
void stream_free(struct stream **s);              /* closes; does not flush */
int stream_fd(const struct stream *s);            /* -1 when there is none */
int stream_errno(const struct stream *s);
const char *stream_status_text(enum stream_status status);
/*
 * Puts another backend in place (STARTTLS); unread input is thrown away and its count returned.  A
 * socket below stays the stream's: the new backend may use stream_fd and stream_wait_fd, and does not close it.
 */
size_t stream_replace(struct stream *s, const struct stream_ops *ops, void *backend);
/* Waits for the socket itself, whatever backend is above it; TASK_CANCELLED when there is none. */
enum task_wait stream_wait_fd(struct stream *s, int events, double deadline);
/* The backend, when it is one of these operations; else NULL. */
void *stream_backend(const struct stream *s, const struct stream_ops *ops);
double stream_deadline(const struct stream *s);

/* Absolute time for all calls that follow; stream_set_timeout is now + seconds. */
void stream_set_deadline(struct stream *s, double deadline);
void stream_set_timeout(struct stream *s, double seconds);

/*
 * Reads a line of at most `max` bytes without its terminator.  *line points
 * into the stream's buffer and holds until the next read.  A line ends in LF; a CR before it
 * is taken off; *bare_lf (may be NULL) tells that there was none.  STREAM_TOO_LONG: the
 * first `max` bytes are in *line and taken off the stream, the rest of the line is still to
 * come: call stream_skip_line.  Unless the line is in the buffer already, flushes output first.
 */
enum stream_status stream_read_line(struct stream *s, size_t max, struct slice *line, bool *bare_lf);
/* Throws the rest of a line away (at most `max` bytes, then STREAM_TOO_LONG). */
enum stream_status stream_skip_line(struct stream *s, size_t max);

/*
 * For bulk data: waits until there is input (at least one byte), *data is all
 * that is in the buffer; stream_consume takes `len` of it off.  stream_more reads on
 * though there is unconsumed input (a partial line): grows *data or fails; at most `max` bytes are held.
 */
enum stream_status stream_peek(struct stream *s, struct slice *data);
enum stream_status stream_more(struct stream *s, size_t max, struct slice *data);
void stream_consume(struct stream *s, size_t len);
/* Bytes that were received and not read yet, without a system call. */
size_t stream_pending(const struct stream *s);
/* True when the kernel has input or EOF for us now, or pending > 0 (pipelining detection): one poll(2). */
bool stream_input_ready(struct stream *s);

/* Output is buffered (16 KiB, then flushed); stream_flush sends all that waits. */
enum stream_status stream_write(struct stream *s, struct slice data);
enum stream_status stream_printf(struct stream *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum stream_status stream_flush(struct stream *s);
/* Flushes and then sends `len` bytes of a file from `offset`: sendfile(2) where the backend can. */
enum stream_status stream_send_file(struct stream *s, int fd, off_t offset, size_t len);
/* Bytes read and written so far. */
uint64_t stream_bytes_in(const struct stream *s);
uint64_t stream_bytes_out(const struct stream *s);

#endif
