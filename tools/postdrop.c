/* SPDX-License-Identifier: ISC */
/*
 * postdrop [-c config_dir] [-r] [-v]: puts a message into maildrop/, from standard input in the
 * form of common/mail/maildrop.h.  Installed set-gid postdrop, so that it trusts nothing of the
 * caller's: environment, configuration, umask, input.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "common/mail/maildrop.h"

#define ENVELOPE_EXTRA (64u << 20)

static char temporary[MESSAGE_ID_SIZE + 8];

static void __attribute__((format(printf, 2, 3), noreturn)) die(int status, const char *format, ...)
{
	va_list ap;

	if (temporary[0])
		unlink(temporary);
	fputs("postdrop: fatal: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

static void on_signal(int number)
{
	if (temporary[0])
		unlink(temporary);
	_exit(EX_TEMPFAIL);
}

static bool privileged(void)
{
	return getuid() != 0 && (geteuid() != getuid() || getegid() != getgid());
}

static struct config *load(const char *dir)
{
	struct err err = { 0 };
	struct config *config = config_load(dir, NULL, 0, &err);

	if (!config)
		die(EX_CONFIG, "%s", err.text);
	return config;
}

/* With privileges another configuration only where the default one allows it. */
static struct config *find_config(const char *dir)
{
	static const char *const parameters[] = { "alternate_config_directories", "multi_instance_directories" };
	const char *environment = getenv("MAIL_CONFIG");
	struct str wanted = { 0 };
	struct config *config;
	bool allowed = false;

	if (!dir)
		dir = environment;
	if (!privileged())
		return load(dir);
	/* Copied before the environment that it may point into goes. */
	if (dir)
		str_append_text(&wanted, dir);
	clearenv();
	config = load(NULL);
	if (!dir || strcmp(str_cstr(&wanted), config_dir(config)) == 0) {
		str_free(&wanted);
		return config;
	}
	for (size_t i = 0; i < 2; i++) {
		struct slice list = slice_of(config_lookup(config, parameters[i])), word;

		while (slice_word(&list, ", \t\r\n", &word))
			allowed = allowed || slice_eq(word, str_slice(&wanted));
	}
	if (!allowed)
		die(EX_USAGE, "%s is not in alternate_config_directories of %s/main.cf", str_cstr(&wanted),
		    config_dir(config));
	config_free(&config);
	config = load(str_cstr(&wanted));
	str_free(&wanted);
	return config;
}

static void enter_maildrop(const struct config *config)
{
	const char *queue = config_text(config, "queue_directory");

	if (chdir(queue) < 0 || chdir("maildrop") < 0)
		die(EX_UNAVAILABLE, "%s/maildrop: %s: mail system is not set up", queue, strerror(errno));
}

static void copy_input(int fd, uint64_t limit)
{
	static char buffer[65536];
	uint64_t total = 0;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(EX_IOERR, "read standard input: %s", strerror(errno));
		if (n == 0)
			return;
		total += (uint64_t)n;
		if (limit && total > limit)
			die(EX_UNAVAILABLE, "message file too big");
		if (!file_write(fd, slice_make(buffer, (size_t)n)))
			die(EX_TEMPFAIL, "write maildrop file: %s", strerror(errno));
	}
}

static void check(int fd, uint64_t limit)
{
	struct arena *arena = arena_create(0);
	struct message_envelope envelope;
	struct err err = { 0 };
	struct stat st;
	uint64_t content;

	if (!maildrop_read(fd, arena, &envelope, &content, &err))
		die(EX_DATAERR, "malformed input: %s", err.text);
	if (fstat(fd, &st) < 0)
		die(EX_TEMPFAIL, "fstat: %s", strerror(errno));
	if (limit && (uint64_t)st.st_size - content > limit)
		die(EX_UNAVAILABLE, "message file too big");
	arena_free(&arena);
}

/* pickup looks now; when it is not there, later. */
static void knock(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "../public/pickup" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	(void)connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
}

static void drop(const struct config *config)
{
	uint64_t limit = (uint64_t)config_int(config, "message_size_limit");
	char name[MESSAGE_NAME_SIZE], id[MESSAGE_ID_SIZE];
	int fd;

	message_name_make(name);
	message_id_make(id, name);
	snprintf(temporary, sizeof(temporary), "tmp.%s", id);
	umask(022);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		int why = errno;

		temporary[0] = '\0';
		die(why == EACCES || why == EPERM ? EX_NOPERM : EX_TEMPFAIL, "create maildrop file: %s", strerror(why));
	}
	copy_input(fd, limit ? limit + ENVELOPE_EXTRA : 0);
	check(fd, limit);
	/* The directory keeps others out; pickup, of another user, must read the file. */
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temporary, id) < 0)
		die(EX_TEMPFAIL, "keep maildrop file: %s", strerror(errno));
	temporary[0] = '\0';
	/* Takes the new name along; the directory may not be opened for a sync of its own. */
	if (fsync(fd) < 0)
		die(EX_TEMPFAIL, "sync maildrop file: %s", strerror(errno));
	close(fd);
	knock();
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const char *dir = NULL;
	struct config *config;
	int c;

	/* A closed standard descriptor would become the file. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(EX_OSERR);
	while ((c = getopt(argc, argv, "c:rv")) != -1) {
		if (c == 'c')
			dir = optarg;
		else if (c != 'r' && c != 'v')
			die(EX_USAGE, "usage: postdrop [-c config_dir] [-r] [-v]");
	}
	config = find_config(dir);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], on_signal);
	signal(SIGPIPE, SIG_IGN);
	enter_maildrop(config);
	drop(config);
	config_free(&config);
	return 0;
}
