/* SPDX-License-Identifier: ISC */
#include "delivery/lib/launcher_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/net/ipc.h"
#include "common/process/control.h"
#include "common/process/sandbox.h"
#include "delivery/lib/program.h"

#define GROUPS_MAX 256
#define LIST_MAX   2000
#define WRITERS    (SYS_BASE | SYS_READ | SYS_WRITE | SYS_BECOME)

struct request {
	const struct launcher_rules *rules;
	struct ipc_in in;
	enum launch_type type;
	int answer, message;
	char path[4096], name[256];
	uid_t uid;
	gid_t gid;
};

/* --- answers --- */

static _Noreturn void done(const struct request *r, const struct outcome *o)
{
	_exit(outcome_write(o, r->answer) ? 0 : 1);
}

static _Noreturn void refuse(const struct request *r, const char *dsn, const char *text)
{
	struct outcome o;

	if (r->type == LAUNCH_READ) {
		dprintf(r->answer, "error %s: %s", r->path, text);
		_exit(1);
	}
	outcome_set_dsn(&o, dsn, "%s", text);
	done(r, &o);
}

/* --- becoming the user --- */

static void find_user(struct request *r)
{
	struct slice name;
	uint64_t uid, gid;
	const struct passwd *p;

	if (!ipc_get_u64(&r->in, LAUNCH_UID, &uid) || !ipc_get_u64(&r->in, LAUNCH_GID, &gid) || uid >= UINT32_MAX ||
	    gid >= UINT32_MAX)
		refuse(r, "4.3.0", "malformed request");
	r->uid = (uid_t)uid;
	r->gid = (gid_t)gid;
	if (!ipc_get_bytes(&r->in, LAUNCH_NAME, &name))
		return;
	snprintf(r->name, sizeof(r->name), "%.*s", SLICE_FMT(name));
	errno = 0;
	p = getpwnam(r->name);
	if (!p && r->rules->stand_in && geteuid() == 0) {
		snprintf(r->name, sizeof(r->name), "%s", r->rules->stand_in);
		p = getpwnam(r->name);
	}
	if (!p && geteuid() == 0)
		refuse(r, "4.3.0", "the user cannot be looked up");
	if (p) {
		r->uid = p->pw_uid;
		r->gid = p->pw_gid;
	}
}

/* The system's mail folder: what may be made there only by root or its group. */
static gid_t enter_spool(const struct request *r)
{
	const char *spool = r->rules->spool;
	size_t len = spool ? strlen(spool) : 0;
	struct stat st;
	int fd;

	if (r->type != LAUNCH_MAILBOX || len == 0 || strncmp(r->path, spool, len) != 0 || r->path[len] != '/' ||
	    strchr(r->path + len + 1, '/') || stat(spool, &st) != 0 || st.st_mode & S_IWOTH)
		return (gid_t)-1;
	if (st.st_mode & S_IWGRP)
		return st.st_gid;
	fd = open(r->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && fchown(fd, r->uid, r->gid) != 0)
		(void)unlink(r->path);
	if (fd >= 0)
		close(fd);
	return (gid_t)-1;
}

static bool set_groups(const struct request *r, gid_t more)
{
	gid_t groups[GROUPS_MAX + 1];
	int count = GROUPS_MAX;

	groups[0] = r->gid;
	if (!r->name[0])
		count = 1;
	else if (getgrouplist(r->name, r->gid, groups, &count) < 0)
		return false;
	if (more != (gid_t)-1)
		groups[count++] = more;
	return setgroups((size_t)count, groups) == 0;
}

static void become(struct request *r)
{
	const struct launcher_rules *rules = r->rules;
	uid_t real, effective, saved;

	if (rules->user || geteuid() != 0) /* that was settled at the start, or there is nothing to give up */
		return;
	find_user(r);
	if (rules->named_users ? !r->name[0] && r->uid == 0 : r->name[0] || r->uid < rules->minimum_uid || r->uid == 0)
		refuse(r, "4.3.5", "this user may not get mail here");
	if (r->uid == 0 && r->type == LAUNCH_PROGRAM)
		refuse(r, "4.3.5", "programs do not run as root");
	if (!set_groups(r, enter_spool(r)) || setresgid(r->gid, r->gid, r->gid) != 0 ||
	    setresuid(r->uid, r->uid, r->uid) != 0)
		refuse(r, "4.3.0", "cannot become the user");
	if (getresuid(&real, &effective, &saved) != 0 || real != r->uid || effective != r->uid || saved != r->uid ||
	    getegid() != r->gid || (r->uid != 0 && setuid(0) == 0))
		refuse(r, "4.3.0", "privileges were not dropped");
}

/* --- what is done as the user --- */

static void open_content(struct request *r, struct content *c)
{
	struct slice eol;
	uint64_t flags;
	struct err err;

	/* The child ends soon: its arena is never freed. */
	if (r->message < 0 || !content_open(c, r->message, arena_create(0), &err))
		refuse(r, "4.3.0", "the message cannot be read");
	(void)ipc_get_bytes(&r->in, LAUNCH_HEAD, &c->head);
	if (ipc_get_bytes(&r->in, LAUNCH_EOL, &eol))
		c->eol = eol;
	if (ipc_get_u64(&r->in, LAUNCH_FLAGS, &flags))
		c->flags = (unsigned)flags;
}

/* Below the folder of all mailboxes, and no way out of it in the name. */
static bool path_is_below(const char *path, const char *base)
{
	size_t len = strlen(base);

	return strncmp(path, base, len) == 0 && (path[len] == '/' || (len > 0 && base[len - 1] == '/')) &&
	       !strstr(path, "/../") && !slice_ends_nocase(slice_of(path), SLICE("/.."));
}

static _Noreturn void store(struct request *r)
{
	const struct launcher_rules *rules = r->rules;
	struct mailbox m = { .path = r->path, .locks = rules->locks, .limit = rules->limit, .strict_owner = rules->strict_owner };
	struct content c;
	struct outcome o;
	uint64_t any;

	if (ipc_get_u64(&r->in, LAUNCH_ANY, &any) && any) {
		m.any_file = rules->named_users;
		m.strict_owner = false;
	}
	if (rules->base && !path_is_below(r->path, rules->base))
		refuse(r, "4.3.5", "the mailbox is not below its base folder");
	open_content(r, &c);
	mailbox_store(&m, &c, &o);
	done(r, &o);
}

static char **get_list(const struct request *r, enum launch_field field)
{
	char **list = mem_alloc((LIST_MAX + 1) * sizeof(*list));
	struct ipc_field f;
	size_t pos = 0, count = 0;

	while (ipc_next(&r->in, &pos, &f))
		if (f.field == field && f.kind == 's' && count < LIST_MAX)
			list[count++] = mem_slicedup(f.bytes);
	return list;
}

static const char *get_text(const struct request *r, enum launch_field field)
{
	struct slice text;

	return ipc_get_bytes(&r->in, field, &text) ? mem_slicedup(text) : "";
}

static _Noreturn void run(struct request *r)
{
	struct program p = { .argv = get_list(r, LAUNCH_ARGUMENT), .env = get_list(r, LAUNCH_VARIABLE),
			     .directory = r->path, .name = get_text(r, LAUNCH_COMMAND),
			     .success = get_text(r, LAUNCH_SUCCESS) };
	struct content c;
	struct outcome o;
	uint64_t seconds;

	if (!r->rules->programs || !p.argv[0] || !ipc_get_u64(&r->in, LAUNCH_SECONDS, &seconds))
		refuse(r, "4.3.5", "programs are not run here");
	p.time_limit = (double)seconds;
	close(CONTROL_ALIVE_FD); /* a program may outlast the mail system */
	open_content(r, &c);
	program_run(&p, &c, &o);
	done(r, &o);
}

static _Noreturn void read_file(struct request *r)
{
	int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char buf[8192];
	uint64_t any;
	struct stat st;
	ssize_t got;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		dprintf(r->answer, "none");
		_exit(0);
	}
	if (fd < 0 || fstat(fd, &st) != 0)
		refuse(r, "", strerror(errno));
	if (!S_ISREG(st.st_mode))
		refuse(r, "", "not a regular file");
	if (st.st_mode & S_IWOTH)
		refuse(r, "", "can be written to by everybody");
	if (!(ipc_get_u64(&r->in, LAUNCH_ANY, &any) && any) && st.st_uid != 0 && st.st_uid != geteuid())
		refuse(r, "", "belongs to another user");
	if (st.st_size > (off_t)LAUNCHER_FILE_MAX)
		refuse(r, "", "is too large");
	dprintf(r->answer, "%u\n", (unsigned)st.st_uid);
	for (off_t at = 0; at < (off_t)LAUNCHER_FILE_MAX && (got = file_read_at(fd, buf, sizeof(buf), (uint64_t)at)) != 0; at += got)
		if (got < 0 || !file_write(r->answer, slice_make(buf, (size_t)got)))
			_exit(1);
	_exit(0);
}

static _Noreturn void serve(struct request *r)
{
	struct slice path;

	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	umask(077);
	if (!ipc_get_bytes(&r->in, LAUNCH_PATH, &path) || path.len >= sizeof(r->path) || memchr(path.ptr, '\0', path.len))
		refuse(r, "4.3.0", "malformed request");
	memcpy(r->path, path.ptr, path.len);
	become(r);
	switch (r->type) {
	case LAUNCH_MAILBOX:
		store(r);
	case LAUNCH_PROGRAM:
		run(r);
	case LAUNCH_READ:
		read_file(r);
	}
	refuse(r, "4.3.0", "malformed request");
}

/* --- the launcher itself --- */

/* False: the agent has gone. */
static bool take_request(int fd, uint8_t *buf, struct request *r)
{
	union {
		char room[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec data = { buf, IPC_MAX };
	struct msghdr packet = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room,
				 .msg_controllen = sizeof(control.room) };
	int fds[2] = { -1, -1 };
	ssize_t got;

	while ((got = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (got <= 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	r->in = (struct ipc_in){ .data = buf, .len = (size_t)got };
	r->answer = fds[0];
	r->message = fds[1];
	struct cursor c = cursor_make(buf, (size_t)got);

	r->type = (enum launch_type)cursor_u16(&c);
	if (!ipc_valid(buf, (size_t)got))
		r->type = 0;
	return true;
}

static gid_t group_of(const struct launcher_rules *rules, const struct passwd *p)
{
	const struct group *g = rules->group ? getgrnam(rules->group) : NULL;

	if (rules->group && !g)
		log_fatal("group \"%s\" does not exist", rules->group);
	return g ? g->gr_gid : p->pw_gid;
}

static void settle(const struct launcher_rules *rules)
{
	const struct passwd *p = rules->user ? getpwnam(rules->user) : NULL;
	gid_t gid;
	uid_t uid;

	if (!rules->user || geteuid() != 0)
		return;
	if (!p)
		log_fatal("user \"%s\" does not exist", rules->user);
	uid = p->pw_uid;
	gid = group_of(rules, p);
	if (uid == 0 || gid == 0)
		log_fatal("programs do not run as root: user=%s", rules->user);
	if (rules->not_user && strcmp(rules->user, rules->not_user) == 0)
		log_fatal("programs do not run as the owner of the mail system: user=%s", rules->user);
	if (initgroups(rules->user, gid) != 0 ||
	    (rules->chroot && (chroot(rules->chroot) != 0 || chdir("/") != 0)) || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0 || setuid(0) == 0)
		log_fatal("become user \"%s\": %s", rules->user, strerror(errno));
}

_Noreturn void launcher_main(const struct launcher_rules *rules, int fd)
{
	static uint8_t buf[IPC_MAX];
	struct request r = { .rules = rules };
	struct err err;

	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	/* The agent's ways to its neighbours are not ours; the log stays, and the mark that somebody lives. */
	close(CONTROL_FD);
	close(CONTROL_MAIN_CF_FD);
	for (int other = CONTROL_LISTEN_FD; other < fd; other++)
		close(other);
	settle(rules);
	if (!rules->programs && !sandbox_filter(WRITERS, &err))
		log_fatal("sandbox: %s", err.text);
	(void)!write(fd, "+", 1);
	while (take_request(fd, buf, &r)) {
		if (r.answer >= 0 && fork() == 0) {
			close(fd);
			serve(&r);
		}
		if (r.answer >= 0)
			close(r.answer);
		if (r.message >= 0)
			close(r.message);
	}
	_exit(0);
}
