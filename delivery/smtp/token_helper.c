/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/token_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/str.h"

#define ARGUMENTS_MAX 64
#define CHILDREN_MAX  64

bool token_path_allowed(const char *directory, struct slice path)
{
	struct slice folder = slice_of(directory), rest, part;

	while (folder.len > 1 && folder.ptr[folder.len - 1] == '/')
		folder.len--;
	if (!slice_starts(path, folder) || path.len <= folder.len + 1 || path.ptr[folder.len] != '/' ||
	    memchr(path.ptr, '\0', path.len))
		return false;
	rest = slice_sub(path, folder.len + 1, path.len);
	while (slice_word(&rest, "/", &part))
		if (slice_eq(part, SLICE("..")))
			return false;
	return true;
}

/* --- in a child, one for each request --- */

static void answer(int out, char kind, struct slice text)
{
	struct str all = { 0 };
	size_t done = 0;

	str_append_byte(&all, kind);
	str_append(&all, slice_sub(text, 0, TOKEN_ANSWER_MAX - 1));
	while (done < all.len) {
		ssize_t n = write(out, all.data + done, all.len - done);

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	_exit(0);
}

static void __attribute__((noreturn, format(printf, 2, 3))) refuse(int out, const char *format, ...)
{
	struct str text = { 0 };
	va_list ap;

	va_start(ap, format);
	str_vprintf(&text, format, ap);
	va_end(ap);
	answer(out, '-', str_slice(&text));
	_exit(1);
}

/* To its end, or to the limit.  False: time is over. */
static bool read_all(int fd, double seconds, struct str *text)
{
	struct timespec now;
	double end;
	char buf[4096];

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
	while (text->len < TOKEN_ANSWER_MAX) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		double left;
		ssize_t n;

		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		left = end - ((double)now.tv_sec + (double)now.tv_nsec / 1e9);
		if (left <= 0)
			return false;
		if (poll(&wait, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n == 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		str_append(text, slice_make(buf, n > 0 ? (size_t)n : 0));
	}
	return true;
}

static void read_file(const char *path, int out)
{
	struct str text = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0)
		refuse(out, "cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		refuse(out, "%s is not a file", path);
	if (!read_all(fd, 10, &text))
		refuse(out, "cannot read %s", path);
	answer(out, '+', str_slice(&text));
}

static void __attribute__((noreturn)) become_program(char **argv, const char *directory, int output)
{
	static char *const environment[] = { (char *)(uintptr_t) "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(null, 2) < 0 || setpgid(0, 0) != 0 ||
	    chdir(directory) != 0)
		_exit(126);
	/* Nothing of ours but these three. */
	if (close_range(3, ~0u, 0) != 0)
		_exit(126);
	execve(argv[0], argv, environment);
	_exit(127);
}

static void run_program(char *text, const struct token_helper_rules *rules, int out)
{
	char *argv[ARGUMENTS_MAX + 1] = { 0 };
	struct slice rest = slice_of(text), word;
	struct str printed = { 0 };
	int pair[2], status = 0;
	bool in_time;
	pid_t pid;

	for (size_t n = 0; n < ARGUMENTS_MAX && slice_word(&rest, " \t", &word); n++)
		argv[n] = mem_slicedup(word);
	if (pipe2(pair, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		refuse(out, "cannot start %s: %s", argv[0], strerror(errno));
	if (pid == 0)
		become_program(argv, rules->directory, pair[1]);
	close(pair[1]);
	in_time = read_all(pair[0], rules->time_limit, &printed);
	/* The whole group: a program may have left others behind that hold the pipe. */
	(void)kill(-pid, SIGKILL);
	if (!in_time)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!in_time)
		refuse(out, "%s took more than %u seconds", argv[0], rules->time_limit);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		refuse(out, "%s ended with status %d", argv[0], WEXITSTATUS(status));
	/* Our own signal may have come between its last word and its end: what it printed counts then. */
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		refuse(out, "%s was ended by signal %d", argv[0], WTERMSIG(status));
	answer(out, '+', str_slice(&printed));
}

static void __attribute__((noreturn)) serve_one(const struct token_helper_rules *rules, char *request, int out)
{
	struct slice rest = slice_of(request + 1), path = rest;

	(void)signal(SIGCHLD, SIG_DFL);
	if (request[0] == TOKEN_RUN)
		(void)slice_word(&rest, " \t", &path);
	if (!token_path_allowed(rules->directory, path))
		refuse(out, "%.*s does not lie below smtp_sasl_token_directory", SLICE_FMT(path));
	if (request[0] == TOKEN_READ)
		read_file(request + 1, out);
	else if (request[0] == TOKEN_RUN)
		run_program(request + 1, rules, out);
	_exit(1);
}

/* --- the process itself --- */

static bool become(const struct passwd *user)
{
	if (user && (setgroups(0, NULL) != 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
		     setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0 || setuid(0) == 0))
		return false;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* 1: a request and its pipe; 0: a packet that is none; -1: the end. */
static int next_request(int socket, char request[TOKEN_REQUEST_MAX + 2], int *out)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data = { request, TOKEN_REQUEST_MAX + 1 };
	struct msghdr packet = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room,
				 .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c;
	ssize_t n = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : -1;
	c = CMSG_FIRSTHDR(&packet);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return 0;
	memcpy(out, CMSG_DATA(c), sizeof(int));
	request[n] = '\0';
	if (n > 1 && !(packet.msg_flags & MSG_TRUNC))
		return 1;
	close(*out);
	return 0;
}

void token_helper_main(const struct token_helper_rules *rules, int socket)
{
	static char request[TOKEN_REQUEST_MAX + 2];
	struct sigaction action = { .sa_handler = SIG_IGN };
	unsigned children = 0;
	int out = -1, got;

	(void)sigaction(SIGPIPE, &action, NULL);
	action.sa_handler = SIG_DFL;
	(void)sigaction(SIGCHLD, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	if (!become(rules->user) || write(socket, "+", 1) != 1)
		_exit(1);
	while ((got = next_request(socket, request, &out)) >= 0) {
		pid_t pid;

		while (children > 0 && waitpid(-1, NULL, children < CHILDREN_MAX ? WNOHANG : 0) > 0)
			children--;
		if (got == 0)
			continue;
		pid = fork();
		if (pid == 0)
			serve_one(rules, request, out);
		children += pid > 0;
		close(out);
	}
	_exit(0);
}
