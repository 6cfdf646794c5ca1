/* SPDX-License-Identifier: ISC */
#include "delivery/lib/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "common/net/ipc.h"
#include "common/process/process.h"
#include "delivery/lib/launcher_child.h"

static int launcher = -1;

/* --- the agent's side --- */

static void put_list(struct ipc_out *m, enum launch_field field, const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++)
		ipc_put_text(m, field, list[i]);
}

static void put_user(struct ipc_out *m, const struct launch_user *user)
{
	if (user->name)
		ipc_put_text(m, LAUNCH_NAME, user->name);
	ipc_put_u64(m, LAUNCH_UID, user->uid);
	ipc_put_u64(m, LAUNCH_GID, user->gid);
}

static void put_launch(struct ipc_out *m, const struct launch *l)
{
	ipc_out_start(m, l->mailbox ? LAUNCH_MAILBOX : LAUNCH_PROGRAM, 0);
	put_user(m, &l->user);
	ipc_put_bytes(m, LAUNCH_HEAD, l->head);
	ipc_put_bytes(m, LAUNCH_EOL, l->eol.len > 0 ? l->eol : SLICE("\n"));
	ipc_put_u64(m, LAUNCH_FLAGS, l->flags);
	if (l->mailbox) {
		ipc_put_text(m, LAUNCH_PATH, l->mailbox);
		ipc_put_u64(m, LAUNCH_ANY, l->any_file);
		return;
	}
	put_list(m, LAUNCH_ARGUMENT, l->argv);
	put_list(m, LAUNCH_VARIABLE, l->env);
	ipc_put_text(m, LAUNCH_PATH, l->directory);
	ipc_put_text(m, LAUNCH_COMMAND, l->name);
	ipc_put_text(m, LAUNCH_SUCCESS, l->success);
	ipc_put_u64(m, LAUNCH_SECONDS, (uint64_t)l->time_limit);
}

/* With the message's descriptor (-1: none) and our child's end of a pipe.  The pipe to read from, or -1. */
static int send_request(const struct ipc_out *m, int message)
{
	union {
		char room[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data = { m->data, m->len };
	struct msghdr packet = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room };
	int pair[2], fds[2], count = 0;
	ssize_t sent;

	if (m->failed) {
		errno = E2BIG;
		return -1;
	}
	if (pipe2(pair, O_CLOEXEC) != 0)
		return -1;
	fds[count++] = pair[1];
	if (message >= 0)
		fds[count++] = message;
	packet.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
	struct cmsghdr *c = CMSG_FIRSTHDR(&packet);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
	while ((sent = sendmsg(launcher, &packet, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	close(pair[1]);
	if (sent < 0) {
		int saved = errno;

		close(pair[0]);
		if (saved == EPIPE || saved == ECONNRESET)
			process_retire("its launcher has gone");
		errno = saved;
		return -1;
	}
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return pair[0];
}

/* All that the child says, till it ends. */
static void read_answer(int fd, struct str *answer)
{
	char buf[8192];

	for (;;) {
		ssize_t got = read(fd, buf, sizeof(buf));

		if (got > 0 && answer->len <= LAUNCHER_FILE_MAX + sizeof(buf))
			str_append(answer, slice_make(buf, (size_t)got));
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			break;
		/* Cancelling does not shorten it: only the end says what was done. */
		if (got < 0 && task_wait_fd(fd, TASK_READ, TASK_FOREVER) == TASK_CANCELLED)
			break;
	}
	close(fd);
}

void launcher_deliver(const struct launch *l, struct outcome *o)
{
	struct str answer = { 0 };
	struct ipc_out m;
	int fd;

	put_launch(&m, l);
	fd = send_request(&m, l->fd);
	if (fd < 0) {
		outcome_set_dsn(o, "4.3.0", "cannot start the delivery: %s", strerror(errno));
		return;
	}
	read_answer(fd, &answer);
	if (!outcome_parse(o, str_slice(&answer)))
		outcome_set_dsn(o, "4.3.0", "the delivery ended without a result");
	str_free(&answer);
}

/* "owner\ncontent", "none", or "error text" */
int launcher_read(const struct launch_user *user, const char *path, bool any_owner, struct str *text, uid_t *owner,
		  struct err *err)
{
	struct str answer = { 0 };
	struct slice rest, head;
	struct ipc_out m;
	uint64_t uid;
	int fd, result = -1;

	ipc_out_start(&m, LAUNCH_READ, 0);
	put_user(&m, user);
	ipc_put_text(&m, LAUNCH_PATH, path);
	ipc_put_u64(&m, LAUNCH_ANY, any_owner);
	fd = send_request(&m, -1);
	if (fd < 0) {
		err_set_errno(err, ERR_TEMPORARY, "cannot ask for %s", path);
		return -1;
	}
	read_answer(fd, &answer);
	rest = str_slice(&answer);
	if (slice_eq(rest, SLICE("none"))) {
		result = 0;
	} else if (slice_starts(rest, SLICE("error "))) {
		err_set(err, ERR_PERMANENT, "%.*s", SLICE_FMT(slice_sub(rest, 6, rest.len)));
	} else if (slice_cut(&rest, '\n', &head) && slice_to_u64(head, &uid)) {
		*owner = (uid_t)uid;
		str_append(text, rest);
		result = 1;
	} else {
		err_set(err, ERR_TEMPORARY, "%s: no answer from the process that should read it", path);
	}
	str_free(&answer);
	return result;
}

bool launcher_start(const struct launcher_rules *rules, struct err *err)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "make the launcher's socket");
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		launcher_main(rules, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_set_errno(err, ERR_TEMPORARY, "start the launcher");
	}
	launcher = pair[0];
	/* It says one byte when it is what its rules say; before that it may have died of a bad rule. */
	char ready = 0;

	return (read(launcher, &ready, 1) == 1 && ready == '+') ||
	       err_set(err, ERR_PERMANENT, "the launcher did not start: see the log");
}
