/* SPDX-License-Identifier: ISC */
#include "common/process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 64

/*
 * System calls by group, as names: those that this machine does not have are
 * passed over.  Calls with a comment at their arguments stand in add_conditions().
 */
static const char *const base_calls[] = {
	"read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
	"sendfile", "sendfile64", "copy_file_range", "splice", "ftruncate", "fallocate", "lseek", "_llseek",
	"fsync", "fdatasync", "sync_file_range", "flock",
	"close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64", "pipe", "pipe2",
	"fstat", "fstat64", "newfstatat", "fstatat64", "statx", "fstatfs", "fstatfs64",
	"memfd_create", "munmap", "mremap", "madvise", "brk", "mincore",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "restart_syscall",
	"epoll_create1", "epoll_create", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4",
	"poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6",
	"clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid",
	"getresgid", "getrandom", "uname", "sysinfo", "getrusage", "times", "getcwd",
	"getrlimit", "ugetrlimit", "umask", "sched_yield", "sched_getaffinity", "getcpu", "membarrier",
	"futex", "futex_time64", "set_robust_list", "get_robust_list", "rseq", "tgkill", "exit", "exit_group",
	"sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64",
	"getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown", NULL
};
static const char *const accept_calls[] = { "accept4", "accept", NULL };
/* clone itself has a condition; clone3's flags cannot be seen, so it is answered ENOSYS. */
static const char *const thread_calls[] = { "set_tid_address", "arch_prctl", NULL };
static const char *const read_calls[] = {
	"access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "readlink", "readlinkat",
	"getdents", "getdents64", "statfs", "statfs64", "chdir", "fchdir", "inotify_init1", "inotify_add_watch",
	"inotify_rm_watch", "fadvise64", "readahead", NULL
};
static const char *const write_calls[] = {
	"open", "openat", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
	"symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "truncate", "fchmod", "chmod", "fchmodat", "fchown",
	"chown", "lchown", "fchownat", "utimensat", "utime", "utimes", "futimesat", "sync", "syncfs", NULL
};
static const char *const socket_calls[] = { "connect", "bind", NULL };
static const char *const become_calls[] = {
	"clone", "fork", "vfork", "wait4", "waitid", "kill", "setresuid", "setresgid", "setreuid", "setregid",
	"setuid", "setgid", "setgroups", "setfsuid", "setfsgid", "setsid", "setpgid", "setrlimit",
	"set_tid_address", "setpriority", NULL
};
#ifdef __SANITIZE_ADDRESS__
/* What the sanitizers' run time needs for its reports; read access only. */
static const char *const sanitizer_calls[] = {
	"readlink", "readlinkat", "stat", "lstat", "access", "getdents64", "arch_prctl", "prctl", "getpriority",
	"set_tid_address", NULL
};
#endif

static bool add_call(scmp_filter_ctx ctx, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number < 0)
		return true;
	/* EACCES: the kernel or architecture has it otherwise; EEXIST: two groups have it. */
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);

	return rc == 0 || rc == -EEXIST || rc == -EACCES;
}

static bool add_calls(scmp_filter_ctx ctx, const char *const *names)
{
	for (; *names; names++)
		if (!add_call(ctx, *names))
			return false;
	return true;
}

/* Allows `call` when argument `arg` ANDed with `mask` is `value`. */
static bool add_masked(scmp_filter_ctx ctx, int call, unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	struct scmp_arg_cmp cmp = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
	int rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cmp);

	return rc == 0 || rc == -EEXIST || rc == -EACCES;
}

static bool add_equal(scmp_filter_ctx ctx, int call, unsigned arg, scmp_datum_t value)
{
	return add_masked(ctx, call, arg, 0xffffffffu, value);
}

static bool add_open_read_only(scmp_filter_ctx ctx)
{
	scmp_datum_t mask = O_ACCMODE | O_CREAT | O_TRUNC;

	return add_masked(ctx, SCMP_SYS(openat), 2, mask, O_RDONLY) &&
	       add_masked(ctx, SCMP_SYS(open), 1, mask, O_RDONLY);
}

static bool add_base(scmp_filter_ctx ctx)
{
	return add_calls(ctx, base_calls) &&
	       add_equal(ctx, SCMP_SYS(ioctl), 1, FIONREAD) &&
	       add_equal(ctx, SCMP_SYS(ioctl), 1, FIONBIO) &&
	       add_equal(ctx, SCMP_SYS(ioctl), 1, TCGETS) &&
	       add_equal(ctx, SCMP_SYS(ioctl), 1, TIOCOUTQ) &&
	       /* A limit may be read; raising it is not for a sandboxed process. */
	       add_masked(ctx, SCMP_SYS(prlimit64), 2, ~(scmp_datum_t)0, 0) &&
	       add_equal(ctx, SCMP_SYS(prctl), 0, PR_SET_NAME) &&
	       add_equal(ctx, SCMP_SYS(prctl), 0, PR_SET_VMA) &&
	       add_equal(ctx, SCMP_SYS(socketpair), 0, AF_UNIX);
}

static bool add_memory(scmp_filter_ctx ctx, unsigned profile)
{
	/* Modules of the name service switch are loaded when first asked for. */
	if (profile & SYS_NSS)
		return add_call(ctx, "mmap") && add_call(ctx, "mmap2") && add_call(ctx, "mprotect");
	return add_masked(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0) &&
	       add_masked(ctx, SCMP_SYS(mmap2), 2, PROT_EXEC, 0) &&
	       add_masked(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

static bool add_threads(scmp_filter_ctx ctx, unsigned profile)
{
	/* clone3's flags lie in memory that a filter cannot see; glibc then takes clone. */
	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0)
		return false;
	return add_calls(ctx, thread_calls) &&
	       (profile & SYS_BECOME || add_masked(ctx, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD));
}

static bool add_sockets(scmp_filter_ctx ctx, unsigned profile)
{
	bool ok = add_calls(ctx, socket_calls);

	if (profile & SYS_INET)
		ok = ok && add_equal(ctx, SCMP_SYS(socket), 0, AF_INET) &&
		     add_equal(ctx, SCMP_SYS(socket), 0, AF_INET6);
	if (profile & (SYS_UNIX | SYS_NSS))
		ok = ok && add_equal(ctx, SCMP_SYS(socket), 0, AF_UNIX);
	/* libnss_systemd looks which capabilities there are. */
	if (profile & SYS_NSS)
		ok = ok && add_equal(ctx, SCMP_SYS(socket), 0, AF_NETLINK) &&
		     add_equal(ctx, SCMP_SYS(prctl), 0, PR_CAPBSET_READ);
	return ok;
}

static bool add_profile(scmp_filter_ctx ctx, unsigned profile)
{
	bool ok = add_base(ctx) && add_memory(ctx, profile);

	if (profile & SYS_ACCEPT)
		ok = ok && add_calls(ctx, accept_calls);
	if (profile & (SYS_THREADS | SYS_BECOME))
		ok = ok && add_threads(ctx, profile);
	if (profile & (SYS_READ | SYS_NSS))
		ok = ok && add_calls(ctx, read_calls) && (profile & SYS_WRITE || add_open_read_only(ctx));
	if (profile & SYS_WRITE)
		ok = ok && add_calls(ctx, write_calls);
	if (profile & (SYS_INET | SYS_UNIX | SYS_NSS))
		ok = ok && add_sockets(ctx, profile);
	if (profile & SYS_BECOME)
		ok = ok && add_calls(ctx, become_calls);
#ifdef __SANITIZE_ADDRESS__
	ok = ok && add_calls(ctx, sanitizer_calls) && (profile & SYS_WRITE || add_open_read_only(ctx));
#endif
	return ok;
}

bool sandbox_filter(unsigned profile, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_set_errno(err, ERR_PERMANENT, "set no_new_privs");

	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = -ENOMEM;

	if (!ctx)
		return err_set(err, ERR_PERMANENT, "seccomp: no filter can be made");
	/*
	 * -1 is no call: the kernel answers it with an error.  A tracer puts it in the place of one that it has fail
	 * (tests/crash/test_sweep.py).  Threads that a library has started already get the filter too.
	 */
	if (!add_profile(ctx, profile) || (rc = seccomp_attr_set(ctx, SCMP_FLTATR_API_TSKIP, 1)) != 0 ||
	    (rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, -1, 0)) != 0 || (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1)) != 0 ||
	    (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2)) != 0 || (rc = seccomp_load(ctx)) != 0) {
		seccomp_release(ctx);
		return err_set(err, ERR_PERMANENT, "load seccomp filter: %s", strerror(rc < 0 ? -rc : EINVAL));
	}
	seccomp_release(ctx);
	return true;
}

bool sandbox_user(const struct service_row *row, const char *mail_owner, uid_t *uid, gid_t *gid, struct err *err)
{
	const char *name = row->user ? row->user : mail_owner;
	const struct passwd *pw = getpwnam(name);

	if (!pw)
		return err_set(err, ERR_PERMANENT,
			       "user \"%s\" of service %s does not exist: create Postrider's users (INSTALL says how)",
			       name, row->command);
	if (pw->pw_uid == 0 && strcmp(name, "root") != 0)
		return err_set(err, ERR_PERMANENT, "user \"%s\" of service %s has uid 0", name, row->command);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

static bool enter_root(const struct sandbox_plan *plan, struct err *err)
{
	if (plan->row->root != ROOT_EMPTY || plan->rootless) {
		if (chdir(plan->queue_directory) != 0)
			return err_set_errno(err, ERR_PERMANENT, "change to %s", plan->queue_directory);
		return true;
	}

	char path[4096];
	struct stat st;

	if ((size_t)snprintf(path, sizeof(path), "%s/empty", plan->queue_directory) >= sizeof(path))
		return err_set(err, ERR_PERMANENT, "queue_directory is too long");
	if (chdir(path) != 0 || stat(".", &st) != 0)
		return err_set_errno(err, ERR_PERMANENT, "change to %s", path);
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, ERR_PERMANENT, "%s must belong to root and be writable by nobody else", path);
	if (chroot(".") != 0 || chdir("/") != 0)
		return err_set_errno(err, ERR_PERMANENT, "change root to %s", path);
	return true;
}

/* Real, effective and saved ids are what they should be, and root cannot be had again. */
static bool verify_ids(uid_t uid, gid_t gid, struct err *err)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) != 0 || r != uid || e != uid || s != uid || getresgid(&rg, &eg, &sg) != 0 ||
	    rg != gid || eg != gid || sg != gid)
		return err_set(err, ERR_PERMANENT, "ids are not those that were set");
	if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0 || (gid != 0 && setegid(0) == 0)))
		return err_set(err, ERR_PERMANENT, "root can be regained");
	return true;
}

/* The user's groups, for services that use the sockets of other programs. */
static bool find_groups(const struct sandbox_plan *plan, gid_t gid, gid_t *groups, int *count, struct err *err)
{
	const char *name = plan->row->user ? plan->row->user : plan->mail_owner;

	*count = GROUPS_MAX;
	return getgrouplist(name, gid, groups, count) >= 0 ||
	       err_set(err, ERR_PERMANENT, "user \"%s\" is in more than %d groups", name, GROUPS_MAX);
}

bool sandbox_enter(const struct sandbox_plan *plan, struct err *err)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	gid_t groups[GROUPS_MAX];
	int group_count = 1;
	bool change = !plan->rootless && !(plan->row->user && strcmp(plan->row->user, "root") == 0);

	/* The user is looked up while /etc is still in sight. */
	if (change && !sandbox_user(plan->row, plan->mail_owner, &uid, &gid, err))
		return false;
	groups[0] = gid;
	if (change && plan->row->flags & SERVICE_GROUPS && !find_groups(plan, gid, groups, &group_count, err))
		return false;
	if (!enter_root(plan, err))
		return false;
	if (change) {
		if (setgroups((size_t)group_count, groups) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
			return err_set_errno(err, ERR_PERMANENT, "change to uid %u", (unsigned)uid);
		if (!verify_ids(uid, gid, err))
			return false;
	} else if (plan->rootless && (getuid() == 0 || geteuid() != getuid())) {
		return err_set(err, ERR_PERMANENT, "told to run rootless, but has privileges");
	}
	return sandbox_filter(plan->row->profile, err);
}
