/* SPDX-License-Identifier: ISC */
/*
 * Mailboxes.  Each delivery is a child process that becomes the recipient for
 * good before it touches a path that the recipient controls, and says what
 * happened in one line on a pipe: "outcome dsn text".
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/base/task.h"
#include "delivery/local/local.h"

#define CHILD_TIMEOUT 300
#define LOCK_TRIES    30

struct target {
	uid_t uid;
	gid_t gid;
	const char *name;
	const char *base;  /* folder that the mailbox is in or below */
	const char *path;  /* mailbox; ending in '/': Maildir */
};

/* --- in the child --- */

static void report(int fd, enum delivery_outcome outcome, const char *dsn, const char *text)
{
	char line[400];
	int len = snprintf(line, sizeof(line), "%d %s %s", (int)outcome, dsn, text);
	ssize_t done = write(fd, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);

	_exit(done > 0 ? 0 : 1);
}

static void report_errno(int fd, const char *what)
{
	char text[300];
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	report(fd, DELIVERY_DEFERRED, full ? "4.2.2" : "4.2.0", text);
}

static void become(int fd, const struct target *t)
{
	if (geteuid() != 0)
		return;
	if (initgroups(t->name, t->gid) != 0 || setgid(t->gid) != 0 || setuid(t->uid) != 0)
		report_errno(fd, "cannot become the recipient");
	if (geteuid() != t->uid || getegid() != t->gid || (t->uid != 0 && setuid(0) == 0))
		report(fd, DELIVERY_DEFERRED, "4.3.0", "privileges were not dropped");
}

static void make_folder(int fd, const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		report_errno(fd, "cannot make the mailbox folder");
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int done = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return done;
}

static void deliver_maildir(int pipe, const struct local_delivery *d, const char *path)
{
	struct str tmp = { 0 }, new = { 0 };
	struct timeval now;
	struct stat st;
	char host[128] = "localhost";
	int fd;

	gettimeofday(&now, NULL);
	(void)gethostname(host, sizeof(host) - 1);
	make_folder(pipe, path);
	for (int i = 0; i < 3; i++) {
		struct str sub = { 0 };

		str_printf(&sub, "%s%s", path, (const char *[]){ "tmp", "new", "cur" }[i]);
		make_folder(pipe, str_cstr(&sub));
		str_free(&sub);
	}
	str_printf(&tmp, "%stmp/%lld.P%d.%s", path, (long long)now.tv_sec, (int)getpid(), host);
	fd = open(str_cstr(&tmp), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		report_errno(pipe, "cannot create a maildir file");
	if (!content_write(d, fd, false) || fsync(fd) != 0 || close(fd) != 0) {
		int saved = errno;

		(void)unlink(str_cstr(&tmp));
		errno = saved;
		report_errno(pipe, "cannot write a maildir file");
	}
	str_printf(&new, "%snew/%lld.V%llxI%llxM%06ld.%s", path, (long long)now.tv_sec, (long long)st.st_dev,
		   (long long)st.st_ino, (long)now.tv_usec, host);
	if (link(str_cstr(&tmp), str_cstr(&new)) != 0)
		report_errno(pipe, "cannot put the message into new/");
	(void)unlink(str_cstr(&tmp));
	str_clear(&tmp);
	str_printf(&tmp, "%snew", path);
	if (sync_folder(str_cstr(&tmp)) != 0)
		report_errno(pipe, "cannot sync new/");
	report(pipe, DELIVERY_SENT, "2.0.0", "delivered to maildir");
}

/* path.lock beside the mailbox, as other mail programs do. */
static bool dotlock(const char *lock)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(lock, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (errno != EEXIST)
			return errno == EACCES || errno == EPERM; /* the folder is not ours: fcntl has to do */
		sleep(1);
	}
	return false;
}

static void append_mbox(int pipe, const struct local_delivery *d, int fd, const char *lock, uint64_t limit)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	if (fcntl(fd, F_SETLKW, &whole) != 0 || fstat(fd, &st) != 0) {
		(void)unlink(lock);
		report_errno(pipe, "cannot lock the mailbox");
	}
	if (limit && (uint64_t)st.st_size + d->job->layout.content.length > limit) {
		(void)unlink(lock);
		report(pipe, DELIVERY_BOUNCED, "5.2.2", "mailbox full");
	}
	if (lseek(fd, 0, SEEK_END) < 0 || !content_write(d, fd, true) || fsync(fd) != 0) {
		int saved = errno;

		if (ftruncate(fd, st.st_size) != 0)
			saved = errno;
		(void)unlink(lock);
		errno = saved;
		report_errno(pipe, "cannot append to the mailbox");
	}
	(void)unlink(lock);
	report(pipe, DELIVERY_SENT, "2.0.0", "delivered to mailbox");
}

static void deliver_mbox(int pipe, const struct local_delivery *d, const char *path, uint64_t limit)
{
	struct str lock = { 0 };
	struct stat st;
	int fd;

	str_printf(&lock, "%s.lock", path);
	if (!dotlock(str_cstr(&lock)))
		report(pipe, DELIVERY_DEFERRED, "4.2.0", "cannot lock the mailbox: somebody else holds it");
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st) != 0) {
		(void)unlink(str_cstr(&lock));
		report_errno(pipe, "cannot open the mailbox");
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		(void)unlink(str_cstr(&lock));
		report(pipe, DELIVERY_BOUNCED, "5.2.0", "the mailbox is not a regular file with one name");
	}
	append_mbox(pipe, d, fd, str_cstr(&lock), limit);
}

static void child(int pipe, const struct local_delivery *d, const struct local_settings *settings,
		  const struct target *t)
{
	umask(077);
	become(pipe, t);
	if (settings->mailbox_root[0])
		make_folder(pipe, t->base);
	if (t->path[strlen(t->path) - 1] == '/')
		deliver_maildir(pipe, d, t->path);
	deliver_mbox(pipe, d, t->path, settings->mailbox_size_limit);
}

/* --- in the agent --- */

/* False: there is no such user, or nobody can tell (*outcome). */
static bool find_target(const struct local_delivery *d, const struct local_settings *s, struct slice user,
			struct target *t, struct local_outcome *outcome)
{
	struct passwd *p;

	t->name = arena_cstr(d->arena, user);
	errno = 0;
	p = getpwnam(t->name);
	if (!p && s->mailbox_root[0] && user.len > 0 && !memchr(user.ptr, '/', user.len) && user.ptr[0] != '.')
		p = getpwnam(geteuid() == 0 ? s->mail_owner : "nobody");
	if (!p) {
		bool unknown = errno == 0 || errno == ENOENT;

		*outcome = (struct local_outcome){ unknown ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
						   unknown ? "5.1.1" : "4.3.0",
						   arena_printf(d->arena, unknown ? "unknown user: \"%s\"" :
										    "cannot look up user \"%s\"", t->name) };
		return false;
	}
	t->uid = p->pw_uid;
	t->gid = p->pw_gid;
	t->base = s->mailbox_root[0] ? arena_printf(d->arena, "%s/%s", s->mailbox_root, t->name) :
				       arena_strdup(d->arena, p->pw_dir);
	t->path = s->home_mailbox[0] ? arena_printf(d->arena, "%s/%s", t->base, s->home_mailbox) :
		  s->mailbox_root[0] ? arena_printf(d->arena, "%s/mbox", t->base) :
				       arena_printf(d->arena, "%s/%s", s->mail_spool_directory, t->name);
	return true;
}

static struct local_outcome read_report(const struct local_delivery *d, int fd)
{
	char line[512];
	ssize_t len = 0;
	struct slice rest, word, dsn;
	uint64_t outcome;

	if (task_wait_fd(fd, TASK_READ, loop_now() + CHILD_TIMEOUT) == TASK_READY)
		len = read(fd, line, sizeof(line));
	rest = slice_make(line, len > 0 ? (size_t)len : 0);
	if (!slice_word(&rest, " ", &word) || !slice_to_u64(word, &outcome) || outcome < DELIVERY_SENT ||
	    outcome > DELIVERY_BOUNCED || !slice_word(&rest, " ", &dsn))
		return (struct local_outcome){ DELIVERY_DEFERRED, "4.3.0", "mailbox delivery ended without a result" };
	return (struct local_outcome){ (enum delivery_outcome)outcome, arena_cstr(d->arena, dsn),
				       arena_cstr(d->arena, slice_trim(rest)) };
}

struct local_outcome mailbox_deliver(const struct local_delivery *d, const struct local_settings *settings,
				     struct slice user)
{
	struct local_outcome outcome;
	struct target target;
	int fd[2], status;
	pid_t pid;

	if (!find_target(d, settings, user, &target, &outcome))
		return outcome;
	if (pipe2(fd, O_CLOEXEC) != 0)
		return (struct local_outcome){ DELIVERY_DEFERRED, "4.3.0", "cannot make a pipe" };
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		child(fd[1], d, settings, &target);
		_exit(1);
	}
	close(fd[1]);
	if (pid < 0) {
		close(fd[0]);
		return (struct local_outcome){ DELIVERY_DEFERRED, "4.3.0", "cannot start a process for the delivery" };
	}
	outcome = read_report(d, fd[0]);
	close(fd[0]);
	if (outcome.outcome == DELIVERY_DEFERRED)
		(void)kill(pid, SIGKILL); /* it may hang; what it did not report did not happen */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return outcome;
}
