/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "common/base/task.h"

#define BACKLOG_PAUSE 0.1   /* a Unix socket whose backlog is full says EAGAIN */

static bool bind_source(int fd, const struct smtp_target *target, const struct smtp_settings *settings)
{
	int family = target->address.ss_family;
	const struct sockaddr_storage *source = family == AF_INET ? &settings->bind4 : &settings->bind6;

	if (family == AF_UNIX || source->ss_family != family)
		return true;
	return bind(fd, (const struct sockaddr *)source,
		    family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0;
}

/* 0, or errno. */
static int connect_until(int fd, const struct smtp_target *target, double deadline)
{
	int error = 0;
	socklen_t len = sizeof(error);

	while (connect(fd, (const struct sockaddr *)&target->address, target->address_len) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EINPROGRESS) {
			switch (task_wait_fd(fd, TASK_WRITE, deadline)) {
			case TASK_TIMEOUT:
				return ETIMEDOUT;
			case TASK_CANCELLED:
				return ECANCELED;
			case TASK_READY:
				break;
			}
			return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
		}
		if (errno != EAGAIN || target->address.ss_family != AF_UNIX)
			return errno;
		if (loop_now() >= deadline)
			return ETIMEDOUT;
		if (task_sleep(BACKLOG_PAUSE) == TASK_CANCELLED)
			return ECANCELED;
	}
	return 0;
}

static void refuse(const struct smtp_target *target, int error, struct arena *arena, struct smtp_failure *failure)
{
	const char *why = error == ECANCELED ? "shutting down" : strerror(error);

	if (target->port)
		smtp_fail(failure, arena, "4.4.1", "connect to %.*s[%.*s]:%u: %s", SLICE_FMT(target->host),
			  SLICE_FMT(target->text), target->port, why);
	else
		smtp_fail(failure, arena, "4.4.1", "connect to %.*s[%.*s]: %s", SLICE_FMT(target->host),
			  SLICE_FMT(target->text), why);
}

int smtp_connect(const struct smtp_target *target, const struct smtp_settings *settings, struct arena *arena,
		 struct smtp_failure *failure)
{
	int one = 1;
	int error;
	int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		refuse(target, errno, arena, failure);
		return -1;
	}
	error = bind_source(fd, target, settings) ? connect_until(fd, target, loop_now() + settings->connect_timeout)
						  : errno;
	if (error) {
		refuse(target, error, arena, failure);
		close(fd);
		return -1;
	}
	if (target->port)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}
