/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/ipc.h"

#define HEADER_SIZE   6
#define FIELD_HEADER  7
#define QUEUE_PACKETS 4096
#define READ_BURST    64
#define TYPE_HELLO    0xffff
#define TYPE_BYE      0xfffe
#define HELLO_NAME    1
#define HELLO_VERSION 2

/* --- building --- */

static uint8_t build_buffer[IPC_MAX];

static struct packer out_packer(struct ipc_out *m)
{
	struct packer p = packer_make(m->data, IPC_MAX);

	p.len = m->len;
	p.failed = m->failed;
	return p;
}

static void out_store(struct ipc_out *m, const struct packer *p)
{
	m->len = p->len;
	m->failed = p->failed;
}

void ipc_out_start(struct ipc_out *m, uint16_t type, uint32_t request)
{
	*m = (struct ipc_out){ .data = build_buffer };
	struct packer p = out_packer(m);

	packer_u16(&p, type);
	packer_u32(&p, request);
	out_store(m, &p);
}

void ipc_put_bytes(struct ipc_out *m, uint16_t field, struct slice value)
{
	struct packer p = out_packer(m);

	packer_u16(&p, field);
	packer_u8(&p, 's');
	packer_u32(&p, (uint32_t)(value.len > IPC_MAX ? IPC_MAX + 1 : value.len));
	packer_bytes(&p, value);
	if (p.failed)
		m->failed = true;
	else
		out_store(m, &p);
}

void ipc_put_u64(struct ipc_out *m, uint16_t field, uint64_t value)
{
	struct packer p = out_packer(m);

	packer_u16(&p, field);
	packer_u8(&p, 'u');
	packer_u32(&p, 8);
	packer_u64(&p, value);
	if (p.failed)
		m->failed = true;
	else
		out_store(m, &p);
}

void ipc_put_text(struct ipc_out *m, uint16_t field, const char *text)
{
	ipc_put_bytes(m, field, slice_of(text));
}

void ipc_put_fd(struct ipc_out *m, int fd)
{
	if (m->fd_count >= IPC_FDS)
		m->failed = true;
	else
		m->fds[m->fd_count++] = fd;
}

size_t ipc_out_room(const struct ipc_out *m)
{
	size_t used = m->len + FIELD_HEADER;

	return m->failed || used > IPC_MAX ? 0 : IPC_MAX - used;
}

/* --- taking apart --- */

bool ipc_next(const struct ipc_in *m, size_t *pos, struct ipc_field *f)
{
	struct cursor c = cursor_make(m->data, m->len);

	cursor_seek(&c, *pos ? *pos : HEADER_SIZE);
	if (cursor_left(&c) == 0)
		return false;
	f->field = cursor_u16(&c);
	f->kind = (char)cursor_u8(&c);
	f->bytes = cursor_bytes(&c, cursor_u32(&c));
	if (c.failed || (f->kind != 's' && f->kind != 'u') || (f->kind == 'u' && f->bytes.len != 8))
		return false;
	f->number = 0;
	if (f->kind == 'u') {
		struct cursor number = cursor_make(f->bytes.ptr, 8);

		f->number = cursor_u64(&number);
	}
	*pos = c.pos;
	return true;
}

bool ipc_valid(const void *data, size_t len)
{
	struct ipc_in m = { .data = data, .len = len };
	struct ipc_field f;
	size_t pos = HEADER_SIZE;

	if (len < HEADER_SIZE)
		return false;
	while (ipc_next(&m, &pos, &f))
		;
	return pos == len;
}

static bool find(const struct ipc_in *m, uint16_t field, char kind, struct ipc_field *f)
{
	size_t pos = 0;

	while (ipc_next(m, &pos, f))
		if (f->field == field)
			return f->kind == kind;
	return false;
}

bool ipc_get_u64(const struct ipc_in *m, uint16_t field, uint64_t *value)
{
	struct ipc_field f;
	bool found = find(m, field, 'u', &f);

	*value = found ? f.number : 0;
	return found;
}

bool ipc_get_bytes(const struct ipc_in *m, uint16_t field, struct slice *value)
{
	struct ipc_field f;
	bool found = find(m, field, 's', &f);

	*value = found ? f.bytes : SLICE_NONE;
	return found;
}

int ipc_take_fd(struct ipc_in *m, int index)
{
	int fd;

	if (index < 0 || index >= m->fd_count)
		return -1;
	fd = m->fds[index];
	m->fds[index] = -1;
	return fd;
}

static void close_fds(int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* --- channel --- */

struct packet {
	struct packet *next;
	int fds[IPC_FDS];
	int fd_count;
	size_t len;
	uint8_t data[];
};

struct ipc_channel {
	int fd;
	const struct ipc_protocol *protocol;
	const struct ipc_handler *handler;
	void *context;
	struct ev_io readable, writable;
	struct packet *first, *last;
	size_t queued;
	bool greeted;     /* the peer's hello has come */
	bool closed;
	bool in_handler;  /* a free meanwhile waits for its end */
	bool freed;
};

static void channel_destroy(struct ipc_channel *ch)
{
	ev_io_stop(loop_get(), &ch->readable);
	ev_io_stop(loop_get(), &ch->writable);
	while (ch->first) {
		struct packet *p = ch->first;

		ch->first = p->next;
		close_fds(p->fds, p->fd_count);
		free(p);
	}
	close(ch->fd);
	free(ch);
}

void ipc_channel_free(struct ipc_channel **chp)
{
	struct ipc_channel *ch = *chp;

	if (!ch)
		return;
	*chp = NULL;
	ch->closed = ch->freed = true;
	if (!ch->in_handler)
		channel_destroy(ch);
}

/* Tells the owner once. */
static void channel_lost(struct ipc_channel *ch)
{
	if (ch->closed)
		return;
	ch->closed = true;
	ev_io_stop(loop_get(), &ch->readable);
	ev_io_stop(loop_get(), &ch->writable);
	bool nested = ch->in_handler;

	ch->in_handler = true;
	ch->handler->on_close(ch, ch->context);
	ch->in_handler = nested;
	if (ch->freed && !nested)
		channel_destroy(ch);
}

static bool check_hello(const struct ipc_channel *ch, const struct ipc_in *m)
{
	struct slice name;
	uint64_t version;

	return m->type == TYPE_HELLO && ipc_get_bytes(m, HELLO_NAME, &name) &&
	       slice_eq(name, slice_of(ch->protocol->name)) &&
	       ipc_get_u64(m, HELLO_VERSION, &version) && version == ch->protocol->version;
}

static void take_descriptors(struct msghdr *msg, struct ipc_in *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->fd_count < IPC_FDS)
				m->fds[m->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

/* 1: a packet, 0: nothing now, -1: gone or malformed (logged). */
static int receive(struct ipc_channel *ch, uint8_t *buf, struct ipc_in *m)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS)];
	} control;
	struct iovec iov = { buf, IPC_MAX };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	ssize_t got;

	*m = (struct ipc_in){ 0 };
	do
		got = recvmsg(ch->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	if (got <= 0)
		return -1;
	take_descriptors(&msg, m);
	m->data = buf;
	m->len = (size_t)got;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !ipc_valid(buf, m->len)) {
		log_warning("%s: malformed packet of %zd bytes: closing the connection",
			    ch->protocol->name, got);
		close_fds(m->fds, m->fd_count);
		return -1;
	}
	struct cursor c = cursor_make(buf, m->len);

	m->type = cursor_u16(&c);
	m->request = cursor_u32(&c);
	return 1;
}

static void dispatch(struct ipc_channel *ch, struct ipc_in *m)
{
	if (ch->greeted && m->type == TYPE_BYE) {
		ch->in_handler = true;
		if (ch->handler->on_bye)
			ch->handler->on_bye(ch, ch->context);
		ch->in_handler = false;
	} else if (ch->greeted) {
		ch->in_handler = true;
		ch->handler->on_message(ch, m, ch->context);
		ch->in_handler = false;
	} else if (check_hello(ch, m)) {
		ch->greeted = true;
	} else {
		log_warning("%s: the other side speaks another protocol: closing the connection",
			    ch->protocol->name);
		close_fds(m->fds, m->fd_count);
		m->fd_count = 0;
		channel_lost(ch);
		return;
	}
	close_fds(m->fds, m->fd_count);
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int events)
{
	static uint8_t buf[IPC_MAX];
	struct ipc_channel *ch = w->data;

	for (int i = 0; i < READ_BURST && !ch->closed; i++) {
		struct ipc_in m;
		int got = receive(ch, buf, &m);

		if (got == 0)
			return;
		if (got < 0) {
			channel_lost(ch);
			return;
		}
		dispatch(ch, &m);
		if (ch->freed) {
			channel_destroy(ch);
			return;
		}
	}
}

/* 1: sent, 0: would block, -1: error. */
static int transmit(int fd, const void *data, size_t len, const int *fds, int count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS)];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (count > 0) {
		size_t size = sizeof(int) * (size_t)count;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(size);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(c), fds, size);
	}
	do
		sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 1;
	return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? 0 : -1;
}

static void on_writable(struct ev_loop *loop, struct ev_io *w, int events)
{
	struct ipc_channel *ch = w->data;

	while (ch->first) {
		struct packet *p = ch->first;
		int done = transmit(ch->fd, p->data, p->len, p->fds, p->fd_count);

		if (done == 0)
			return;
		if (done < 0) {
			channel_lost(ch);
			return;
		}
		ch->first = p->next;
		if (!ch->first)
			ch->last = NULL;
		ch->queued--;
		close_fds(p->fds, p->fd_count);
		free(p);
	}
	ev_io_stop(loop, w);
}

/* Keeps a copy for when the socket has room. */
static bool enqueue(struct ipc_channel *ch, const struct ipc_out *m)
{
	struct packet *p;

	if (ch->queued >= QUEUE_PACKETS)
		return false;
	p = mem_alloc(sizeof(*p) + m->len);
	p->len = m->len;
	memcpy(p->data, m->data, m->len);
	for (int i = 0; i < m->fd_count; i++) {
		int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			close_fds(p->fds, p->fd_count);
			free(p);
			return false;
		}
		p->fds[p->fd_count++] = fd;
	}
	if (ch->last)
		ch->last->next = p;
	else
		ch->first = p;
	ch->last = p;
	ch->queued++;
	ev_io_start(loop_get(), &ch->writable);
	return true;
}

/* The loss is told from the loop, never from inside the owner's own call. */
static bool lost_later(struct ipc_channel *ch)
{
	shutdown(ch->fd, SHUT_RDWR);
	return false;
}

bool ipc_send(struct ipc_channel *ch, const struct ipc_out *m)
{
	int done = 0;

	if (ch->closed || m->failed)
		return false;
	if (!ch->first)
		done = transmit(ch->fd, m->data, m->len, m->fds, m->fd_count);
	if (done > 0)
		return true;
	if (done < 0 || !enqueue(ch, m))
		return lost_later(ch);
	return true;
}

bool ipc_say_bye(int fd)
{
	struct ipc_out m;

	ipc_out_start(&m, TYPE_BYE, 0);
	return transmit(fd, m.data, m.len, NULL, 0) != 0;
}

size_t ipc_channel_queued(const struct ipc_channel *ch)
{
	return ch->queued;
}

bool ipc_peer_uid(const struct ipc_channel *ch, unsigned *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(ch->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return false;
	*uid = cred.uid;
	return true;
}

struct ipc_channel *ipc_channel_create(int fd, const struct ipc_protocol *protocol,
				       const struct ipc_handler *handler, void *context)
{
	struct ipc_channel *ch = mem_alloc(sizeof(*ch));
	struct ipc_out hello;

	ch->fd = fd;
	ch->protocol = protocol;
	ch->handler = handler;
	ch->context = context;
	ev_io_init(&ch->readable, on_readable, fd, EV_READ);
	ev_io_init(&ch->writable, on_writable, fd, EV_WRITE);
	ch->readable.data = ch->writable.data = ch;
	ev_io_start(loop_get(), &ch->readable);
	ipc_out_start(&hello, TYPE_HELLO, 0);
	ipc_put_text(&hello, HELLO_NAME, protocol->name);
	ipc_put_u64(&hello, HELLO_VERSION, protocol->version);
	ipc_send(ch, &hello);
	return ch;
}
