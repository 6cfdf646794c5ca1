/* SPDX-License-Identifier: ISC */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/process/control.h"

/* Sources may stand where targets go: first all go above, then down to their places. */
static bool place_descriptors(int *fds, int count)
{
	for (int i = 0; i < count; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CONTROL_FD + count);
		if (fds[i] < 0)
			return false;
	}
	for (int i = 0; i < count; i++)
		if (dup2(fds[i], CONTROL_FD + i) < 0)
			return false;
	return true;
}

static _Noreturn void become(const char *path, char **argv, const struct spawn_shared *shared, int *fds, int count)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (place_descriptors(fds, count))
		execve(path, argv, (char *const *)shared->environment);
	_exit(127);
}

pid_t spawn_process(const struct service_spec *spec, const struct spawn_shared *shared, int *control)
{
	static char log_is_syslog[] = "-L";
	int count = CONTROL_LISTEN_FD - CONTROL_FD + (int)spec->listener_count;
	int pair[2];
	int *fds;
	char **argv;
	size_t argc = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	fds = mem_alloc((size_t)count * sizeof(*fds));
	fds[0] = pair[1];
	fds[CONTROL_LOG_FD - CONTROL_FD] = shared->log_fd;
	fds[CONTROL_ALIVE_FD - CONTROL_FD] = shared->alive_fd;
	fds[CONTROL_MAIN_CF_FD - CONTROL_FD] = shared->main_cf_fd;
	for (size_t i = 0; i < spec->listener_count; i++)
		fds[CONTROL_LISTEN_FD - CONTROL_FD + (int)i] = spec->listeners[i]->fd;
	while (spec->argv[argc])
		argc++;
	argv = mem_alloc((argc + 2) * sizeof(*argv));
	argv[0] = spec->argv[0];
	/* Where the log goes can change during a plan's life. */
	size_t n = 1;

	if (shared->log_is_syslog)
		argv[n++] = log_is_syslog;
	for (size_t i = 1; i < argc; i++)
		argv[n++] = spec->argv[i];
	pid = fork();
	if (pid == 0)
		become(spec->path, argv, shared, fds, count);

	int saved = errno;

	free(argv);
	free(fds);
	close(pair[1]);
	if (pid < 0)
		close(pair[0]);
	*control = pid < 0 ? -1 : pair[0];
	errno = saved;
	return pid;
}
