/* SPDX-License-Identifier: ISC */
#include "tables/servers/socket.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/task.h"
#include "tables/servers/server_table.h"

#define READ_SIZE 4096

struct server_socket {
	int fd;
	struct str in;           /* received */
	size_t taken;            /* of it */
};

/* --- connecting --- */

static int connect_address(const struct sockaddr *address, socklen_t len, double until, struct err *err)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failure = 0;
	socklen_t size = sizeof(failure);

	if (fd < 0) {
		err_set_errno(err, ERR_TEMPORARY, "socket");
		return -1;
	}
	if (connect(fd, address, len) != 0 && errno != EINPROGRESS) {
		failure = errno;
	} else if (!server_wait(fd, TASK_WRITE, until, err)) {
		close(fd);
		return -1;
	} else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) {
		failure = errno;
	}
	if (failure == 0)
		return fd;
	close(fd);
	errno = failure;
	err_set_errno(err, ERR_TEMPORARY, "connect");
	return -1;
}

static int connect_local(const char *path, double until, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		err_set(err, ERR_TEMPORARY, "the path of the socket is too long");
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	return connect_address((struct sockaddr *)&address, sizeof(address), until, err);
}

static int connect_inet(const struct server_host *host, double until, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int code = getaddrinfo(host->name, host->port, &hints, &list), fd = -1;

	if (code != 0) {
		err_set(err, ERR_TEMPORARY, "%s", gai_strerror(code));
		return -1;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = connect_address(a->ai_addr, a->ai_addrlen, until, err);
	freeaddrinfo(list);
	return fd;
}

struct server_socket *server_socket_connect(const struct server_host *host, double until, struct err *err)
{
	struct server_socket *s;
	int fd = -1;

	if (host->local)
		fd = connect_local(host->name, until, err);
	else if (!host->port)
		err_set(err, ERR_TEMPORARY, "no port is given");
	else
		fd = connect_inet(host, until, err);
	if (fd < 0)
		return NULL;
	s = mem_alloc(sizeof(*s));
	s->fd = fd;
	return s;
}

void server_socket_close(void *connection)
{
	struct server_socket *s = connection;

	close(s->fd);
	str_free(&s->in);
	free(s);
}

int server_socket_release(struct server_socket **s)
{
	int fd = (*s)->fd;

	str_free(&(*s)->in);
	free(*s);
	*s = NULL;
	return fd;
}

/* --- talking --- */

static bool receive(struct server_socket *s, double until, struct err *err)
{
	for (;;) {
		ssize_t got;

		str_reserve(&s->in, READ_SIZE);
		got = recv(s->fd, s->in.data + s->in.len, READ_SIZE, 0);
		if (got > 0) {
			s->in.len += (size_t)got;
			return true;
		}
		if (got == 0)
			return err_set(err, ERR_CLOSED, "the server closed the connection");
		if (errno != EAGAIN && errno != EINTR)
			return err_set_errno(err, ERR_CLOSED, "receive");
		if (!server_wait(s->fd, TASK_READ, until, err))
			return false;
	}
}

static void forget_taken(struct server_socket *s)
{
	if (s->taken == 0)
		return;
	memmove(s->in.data, s->in.data + s->taken, s->in.len - s->taken);
	s->in.len -= s->taken;
	s->taken = 0;
}

bool server_socket_send(struct server_socket *s, struct slice text, double until, struct err *err)
{
	char early;

	forget_taken(s);
	if (s->in.len > 0 || recv(s->fd, &early, 1, MSG_PEEK) >= 0)
		return err_set(err, ERR_CLOSED, "the server closed the connection, or spoke without being asked");
	while (text.len > 0) {
		ssize_t sent = send(s->fd, text.ptr, text.len, MSG_NOSIGNAL);

		if (sent > 0)
			text = slice_sub(text, (size_t)sent, text.len);
		else if (errno != EAGAIN && errno != EINTR)
			return err_set_errno(err, ERR_CLOSED, "send");
		else if (!server_wait(s->fd, TASK_WRITE, until, err))
			return false;
	}
	return true;
}

bool server_socket_take(struct server_socket *s, size_t len, struct slice *text, double until, struct err *err)
{
	forget_taken(s);
	while (s->in.len < len)
		if (!receive(s, until, err))
			return false;
	*text = slice_make(s->in.data, len);
	s->taken = len;
	return true;
}

bool server_socket_take_until(struct server_socket *s, char end, size_t max, struct slice *text, double until,
			      struct err *err)
{
	ptrdiff_t at;

	forget_taken(s);
	while ((at = slice_find(str_slice(&s->in), end)) < 0) {
		if (s->in.len > max)
			return err_set(err, ERR_CLOSED, "the answer is too long");
		if (!receive(s, until, err))
			return false;
	}
	*text = slice_make(s->in.data, (size_t)at);
	s->taken = (size_t)at + 1;
	return true;
}
