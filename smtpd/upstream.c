/* SPDX-License-Identifier: ISC */
#include "smtpd/upstream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/base/task.h"

bool upstream_read(int fd, const char *from, double timeout, struct proxy_header *header)
{
	double deadline = loop_now() + timeout;
	char text[PROXY_HEADER_MAX];
	size_t have = 0, wants;

	while ((wants = proxy_header_wants(slice_make(text, have))) > 0) {
		ssize_t got = recv(fd, text + have, wants, MSG_DONTWAIT);

		if (got > 0) {
			have += (size_t)got;
		} else if (got == 0) {
			/* A look at the port is nothing to warn of. */
			if (have > 0)
				log_warning("haproxy read: lost connection with %s", from);
			return false;
		} else if (errno != EINTR && errno != EAGAIN) {
			log_warning("haproxy read: %s: %s", from, strerror(errno));
			return false;
		} else if (errno == EAGAIN && task_wait_fd(fd, TASK_READ, deadline) != TASK_READY) {
			log_warning("haproxy read: time limit exceeded: %s", from);
			return false;
		}
	}
	if (!proxy_header_parse(slice_make(text, have), header)) {
		log_warning("haproxy read: malformed protocol header from %s", from);
		return false;
	}
	return true;
}
