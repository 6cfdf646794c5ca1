/* SPDX-License-Identifier: ISC */
#include "delivery/lib/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX   700

struct pipes {
	int in[2], out[2];
};

static double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void default_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void find_and_exec(const struct program *p)
{
	struct slice rest = slice_of(PROGRAM_PATH), folder;

	if (strchr(p->argv[0], '/')) {
		execve(p->argv[0], p->argv, p->env);
		return;
	}
	while (slice_word(&rest, ":", &folder)) {
		struct str path = { 0 };

		str_printf(&path, "%.*s/%s", SLICE_FMT(folder), p->argv[0]);
		execve(str_cstr(&path), p->argv, p->env);
		str_free(&path);
		if (errno != ENOENT)
			return;
	}
}

static _Noreturn void become_program(const struct program *p, const struct pipes *pipes)
{
	if (setpgid(0, 0) != 0 || dup2(pipes->in[0], 0) < 0 || dup2(pipes->out[1], 1) < 0 || dup2(1, 2) < 0 ||
	    close_range(3, ~0u, 0) != 0)
		_exit(75);
	umask(077);
	default_signals();
	if (chdir(p->directory) != 0) {
		dprintf(2, "4.3.5 cannot change directory to %s: %s", p->directory, strerror(errno));
		_exit(75);
	}
	find_and_exec(p);
	dprintf(2, "4.3.0 cannot execute %s: %s", p->argv[0], strerror(errno));
	_exit(75);
}

/* Writes the message; the program may leave off reading. */
static _Noreturn void feed(const struct content *c, const struct pipes *pipes, pid_t program)
{
	close(pipes->in[0]);
	close(pipes->out[0]);
	close(pipes->out[1]);
	if (content_write(c, pipes->in[1]) || errno == EPIPE)
		_exit(0);
	(void)kill(-program, SIGKILL);
	_exit(1);
}

/* Takes what has been written; false at its end. */
static bool take_output(int fd, struct str *output)
{
	char buf[4096];
	ssize_t got = read(fd, buf, sizeof(buf));

	if (got > 0 && output->len < OUTPUT_MAX)
		str_append(output, slice_make(buf, (size_t)got < OUTPUT_MAX - output->len ? (size_t)got : OUTPUT_MAX - output->len));
	return got > 0 || (got < 0 && errno == EINTR);
}

/* Till the program ends; a descendant that keeps the output open is not waited for.  False: time is up. */
static bool watch(pid_t program, int out, double deadline, struct str *output)
{
	int ended = (int)syscall(SYS_pidfd_open, program, 0);
	struct pollfd fds[2] = { { .fd = ended, .events = POLLIN }, { .fd = out, .events = POLLIN } };
	bool in_time = ended >= 0;

	(void)fcntl(out, F_SETFL, O_NONBLOCK);
	while (in_time && !fds[0].revents) {
		double left = deadline - monotonic();

		in_time = left > 0 && (poll(fds, 2, left > 1e6 ? 1000000000 : (int)(left * 1000) + 1) != 0 || deadline > monotonic());
		if (in_time && fds[1].revents && !take_output(out, output) && errno != EAGAIN)
			fds[1].fd = -1;
	}
	while (in_time && take_output(out, output))
		;
	if (ended >= 0)
		close(ended);
	return in_time;
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void run(const struct program *p, const struct content *c, struct pipes *pipes, struct outcome *o)
{
	struct str output = { 0 };
	pid_t program = fork(), feeder;
	int status, fed = 1;

	if (program == 0)
		become_program(p, pipes);
	if (program < 0) {
		outcome_set_errno(o, "cannot start a process");
		return;
	}
	(void)setpgid(program, program); /* whoever is first */
	feeder = fork();
	if (feeder == 0)
		feed(c, pipes, program);
	close(pipes->in[0]);
	close(pipes->in[1]);
	close(pipes->out[1]);
	pipes->in[0] = pipes->in[1] = pipes->out[1] = -1;
	bool in_time = feeder > 0 && watch(program, pipes->out[0], monotonic() + p->time_limit, &output);

	if (!in_time)
		(void)kill(-program, SIGKILL);
	status = reap(program);
	if (feeder > 0) {
		/* It may still write to a descendant of the program: the program's word counts. */
		int gone = waitpid(feeder, &fed, WNOHANG) == feeder;

		if (!gone)
			fed = 0;
	}
	if (feeder < 0 || fed != 0)
		outcome_set_dsn(o, "4.3.0", "the message could not be read for \"%s\"", p->name);
	else if (!in_time)
		outcome_set_dsn(o, "5.3.0", "Command time limit exceeded: \"%s\"", p->name);
	else
		outcome_set_exit(o, status, str_slice(&output), p->name, p->success);
	str_free(&output);
}

void program_run(const struct program *p, const struct content *c, struct outcome *o)
{
	struct pipes pipes = { { -1, -1 }, { -1, -1 } };

	(void)signal(SIGPIPE, SIG_IGN);
	if (pipe2(pipes.in, O_CLOEXEC) != 0 || pipe2(pipes.out, O_CLOEXEC) != 0)
		outcome_set_errno(o, "cannot make a pipe");
	else
		run(p, c, &pipes, o);
	for (int i = 0; i < 2; i++) {
		if (pipes.in[i] >= 0)
			close(pipes.in[i]);
		if (pipes.out[i] >= 0)
			close(pipes.out[i]);
	}
}
