/* SPDX-License-Identifier: ISC */
#include "common/process/instance.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>


#define SYSLOG_SOCKET "/dev/log"

enum owner { OWNER_ROOT, OWNER_MAIL, OWNER_MAIL_POSTDROP };

static const struct directory {
	const char *name;
	enum owner owner;
	mode_t mode;
} directories[] = {
	{ "queue", OWNER_MAIL, 0700 },
	{ "corrupt", OWNER_MAIL, 0700 },
	/* Commands of any user put files there through the setgid group; nobody can list it. */
	{ "maildrop", OWNER_MAIL_POSTDROP, 01730 },
	{ "public", OWNER_MAIL_POSTDROP, 02710 },
	/* Other programs put sockets there (lmtp next hops); each has its own mode. */
	{ "private", OWNER_MAIL, 0711 },
	{ "pid", OWNER_ROOT, 0755 },
	{ "empty", OWNER_ROOT, 0755 },
};

struct owners {
	bool rootless;
	uid_t mail_uid;
	gid_t mail_gid;
	gid_t drop_gid;
};

static bool find_owners(const struct config *config, struct owners *o, struct err *err)
{
	const char *owner = config_text(config, "mail_owner");
	const char *group = config_text(config, "setgid_group");
	const struct passwd *pw;
	const struct group *gr;

	if (o->rootless)
		return true;
	pw = getpwnam(owner);
	if (!pw)
		return err_set(err, ERR_PERMANENT,
			       "mail_owner = %s: no such user: create Postrider's users (INSTALL says how)", owner);
	if (pw->pw_uid == 0)
		return err_set(err, ERR_PERMANENT, "mail_owner = %s: must not be root", owner);
	gr = getgrnam(group);
	if (!gr)
		return err_set(err, ERR_PERMANENT,
			       "setgid_group = %s: no such group: create Postrider's users (INSTALL says how)", group);
	o->mail_uid = pw->pw_uid;
	o->mail_gid = pw->pw_gid;
	o->drop_gid = gr->gr_gid;
	return true;
}

/* Makes what is missing of the path's parents, mode 0755. */
static bool make_parents(const char *path, struct err *err)
{
	char part[4096];

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return err_set(err, ERR_PERMANENT, "path is too long");
	for (char *at = part + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return err_set_errno(err, ERR_PERMANENT, "make directory %s", part);
		*at = '/';
	}
	return true;
}

static bool check_directory(int fd, const char *path, uid_t uid, gid_t gid, mode_t mode, struct str *report,
			    struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_set_errno(err, ERR_PERMANENT, "look at directory %s", path);
	/* A closer mode is the administrator's choice; one that lets others write is not. */
	if (report && (st.st_uid != uid || (mode & S_ISGID && st.st_gid != gid) ||
		       (st.st_mode & ~mode & (S_IWGRP | S_IWOTH))))
		str_printf(report, "%s: owner %u:%u mode %04o, expected %u:%u mode %04o\n", path,
			   (unsigned)st.st_uid, (unsigned)st.st_gid, (unsigned)(st.st_mode & 07777), (unsigned)uid,
			   (unsigned)gid, (unsigned)mode);
	return true;
}

static bool make_directory(const char *path, const struct directory *d, const struct owners *o, struct str *report,
			   struct err *err)
{
	uid_t uid = o->rootless ? getuid() : d->owner == OWNER_ROOT ? 0 : o->mail_uid;
	gid_t gid = o->rootless ? getgid() : d->owner == OWNER_ROOT ? 0 :
		    d->owner == OWNER_MAIL ? o->mail_gid : o->drop_gid;
	bool fresh = mkdir(path, 0700) == 0;
	bool ok = true;
	int fd;

	if (!fresh && errno != EEXIST)
		return err_set_errno(err, ERR_PERMANENT, "make directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, ERR_PERMANENT, "open directory %s", path);
	if (!fresh)
		ok = check_directory(fd, path, uid, gid, d->mode, report, err);
	else if ((!o->rootless && fchown(fd, uid, gid) != 0) || fchmod(fd, d->mode) != 0)
		ok = err_set_errno(err, ERR_PERMANENT, "set owner and mode of %s", path);
	close(fd);
	return ok;
}

bool instance_make_directories(const struct config *config, bool rootless, struct str *report, struct err *err)
{
	static const struct directory top = { "", OWNER_ROOT, 0755 }, data = { "", OWNER_MAIL, 0700 };
	const char *queue = config_text(config, "queue_directory");
	const char *data_directory = config_text(config, "data_directory");
	struct owners owners = { .rootless = rootless };
	struct str path = { 0 };
	bool ok;

	if (!find_owners(config, &owners, err))
		return false;
	ok = make_parents(queue, err) && make_directory(queue, &top, &owners, NULL, err) &&
	     make_parents(data_directory, err) && make_directory(data_directory, &data, &owners, report, err);
	for (size_t i = 0; ok && i < sizeof(directories) / sizeof(directories[0]); i++) {
		str_clear(&path);
		str_printf(&path, "%s/%s", queue, directories[i].name);
		ok = make_directory(str_cstr(&path), &directories[i], &owners, report, err);
	}
	str_free(&path);
	return ok;
}

/* --- pid file --- */

static struct flock whole_file(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

static int open_pid_file(const struct config *config, int flags)
{
	struct str path = { 0 };
	int fd;

	str_printf(&path, "%s/pid/master.pid", config_text(config, "queue_directory"));
	fd = open(str_cstr(&path), flags | O_NOFOLLOW | O_CLOEXEC, 0644);
	str_free(&path);
	return fd;
}

static pid_t lock_holder(int fd)
{
	struct flock lock = whole_file(F_WRLCK);

	if (fcntl(fd, F_GETLK, &lock) != 0)
		return -1;
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

int instance_lock(const struct config *config, pid_t *other, struct err *err)
{
	struct flock lock = whole_file(F_WRLCK);
	int fd = open_pid_file(config, O_RDWR | O_CREAT);

	*other = 0;
	if (fd < 0) {
		err_set_errno(err, ERR_PERMANENT, "open %s/pid/master.pid", config_text(config, "queue_directory"));
		return -1;
	}
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return fd;
	*other = lock_holder(fd);
	close(fd);
	if (*other > 0)
		err_set(err, ERR_LIMIT, "the mail system is already running, pid %ld", (long)*other);
	else
		err_set_errno(err, ERR_PERMANENT, "lock %s/pid/master.pid", config_text(config, "queue_directory"));
	return -1;
}

bool instance_write_pid(int fd, struct err *err)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) != 0 || !file_write_at(fd, slice_make(text, (size_t)len), 0))
		return err_set_errno(err, ERR_PERMANENT, "write pid file");
	return true;
}

pid_t instance_running(const struct config *config, struct err *err)
{
	int fd = open_pid_file(config, O_RDWR);
	pid_t pid;

	/* Who may only read sees a lock all the same. */
	if (fd < 0 && errno == EACCES)
		fd = open_pid_file(config, O_RDONLY);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0) {
		err_set_errno(err, ERR_PERMANENT, "open %s/pid/master.pid", config_text(config, "queue_directory"));
		return -1;
	}
	pid = lock_holder(fd);
	if (pid < 0)
		err_set_errno(err, ERR_PERMANENT, "look at the lock of the pid file");
	close(fd);
	return pid;
}

/* --- log --- */

static int connect_syslog(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int instance_open_log(const struct config *config, bool foreground, bool *syslog, struct err *err)
{
	const char *path = config_text(config, "maillog_file");
	int fd;

	*syslog = false;
	if (strcmp(path, "/dev/stdout") == 0) {
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 16);
	} else if (*path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0640);
	} else {
		fd = connect_syslog();
		*syslog = fd >= 0;
		if (fd < 0) /* syslogd may come up later: master looks again */
			fd = foreground ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 16) :
					  open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0)
		err_set_errno(err, ERR_PERMANENT, "open log %s", *path ? path : SYSLOG_SOCKET);
	return fd;
}

bool instance_log_moved(const struct config *config, dev_t *device, ino_t *inode)
{
	const char *path = config_text(config, "maillog_file");
	struct stat st = { 0 };
	bool moved;

	if (strcmp(path, "/dev/stdout") == 0)
		return false;
	/* A file that is away counts as moved: opening makes it again. */
	if (stat(*path ? path : SYSLOG_SOCKET, &st) != 0 && !*path)
		return false;
	moved = st.st_dev != *device || st.st_ino != *inode || st.st_ino == 0;
	*device = st.st_dev;
	*inode = st.st_ino;
	return moved;
}
