/* SPDX-License-Identifier: ISC */
#include "master/status.h"

#include <errno.h>
#include <ev.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "master/service.h"

static struct {
	ev_io watcher;
	struct sockaddr_un addr;
	uid_t mail_owner;
	double since;
	int fd;
} status = { .fd = -1 };

static void describe_child(struct str *text, const struct service *s, const struct child *c)
{
	size_t connections = 0;

	for (const struct given *g = c->given; g; g = g->next)
		connections++;
	str_printf(text, "%-16s %-5s %-10s %7ld  %-9s busy %ld, connections %zu, up %.0f s\n", s->name,
		   s->inet ? "inet" : "unix", s->row->command, (long)c->pid,
		   c->retiring ? "retiring" : c->ready ? "running" : "starting", c->busy, connections,
		   loop_now() - c->born);
}

static void describe(struct str *text)
{
	str_printf(text, "master pid %ld, up %.0f s\n", (long)getpid(), loop_now() - status.since);
	str_printf(text, "%-16s %-5s %-10s %7s  state\n", "service", "type", "program", "pid");
	for (const struct service *s = service_first(); s; s = s->next) {
		for (const struct child *c = s->children; c; c = c->next)
			describe_child(text, s, c);
		if (!s->children)
			str_printf(text, "%-16s %-5s %-10s %7s  %s\n", s->name, s->inet ? "inet" : "unix",
				   s->row->command, "-",
				   ev_is_active(&s->restart) ? "throttled: its processes die at start" :
							       "on demand");
	}
}

static void on_connection(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(who);
	struct str text = { 0 };
	int size = 1 << 20;
	int fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    (who.uid == 0 || who.uid == geteuid() || who.uid == status.mail_owner)) {
		describe(&text);
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		/* What does not fit the socket's buffer is cut: master waits for nobody. */
		if (send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			log_debug(1, "status: %s", strerror(errno));
	}
	str_free(&text);
	close(fd);
}

bool status_open(const struct config *config, bool rootless, struct err *err)
{
	const struct passwd *pw = rootless ? NULL : getpwnam(config_text(config, "mail_owner"));
	struct sockaddr_un *addr = &status.addr;
	int fd;

	status.mail_owner = pw ? pw->pw_uid : geteuid();
	status.since = loop_now();
	addr->sun_family = AF_UNIX;
	if ((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/private/master",
			     config_text(config, "queue_directory")) >= sizeof(addr->sun_path))
		return err_set(err, ERR_PERMANENT, "queue_directory is too long for the name of a socket");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (unlink(addr->sun_path) != 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)addr, sizeof(*addr)) != 0 || chmod(addr->sun_path, 0600) != 0 ||
	    (pw && chown(addr->sun_path, pw->pw_uid, (gid_t)-1) != 0) || listen(fd, 16) != 0) {
		err_set_errno(err, ERR_PERMANENT, "listen on %s", addr->sun_path);
		if (fd >= 0)
			close(fd);
		return false;
	}
	status.fd = fd;
	ev_io_init(&status.watcher, on_connection, fd, EV_READ);
	ev_io_start(loop_get(), &status.watcher);
	return true;
}

void status_close(void)
{
	if (status.fd < 0)
		return;
	ev_io_stop(loop_get(), &status.watcher);
	close(status.fd);
	unlink(status.addr.sun_path);
	status.fd = -1;
}
