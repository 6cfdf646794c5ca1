/* SPDX-License-Identifier: ISC */
#include "tools/lib/passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/sasl/mechanism.h"
#include "common/sasl/password.h"
#include "tables/table.h"

#define FILE_LIMIT ((size_t)64 << 20)
#define EX_USAGE   64

struct job {
	const struct config *config;
	const char *map;             /* "hash:/etc/postrider/passwords" */
	const char *path;            /* its source */
	const char *scheme;
	const char *user;
};

static int complain(const char *what, const char *text)
{
	fprintf(stderr, "postrider: fatal: %s%s%s\n", what, what[0] ? ": " : "", text);
	return 1;
}

/* --- the source file --- */

static bool is_comment(struct slice line)
{
	struct slice text = slice_trim(line);

	return text.len == 0 || text.ptr[0] == '#';
}

static void put_entry(struct str *out, struct slice user, struct slice value)
{
	str_append_lower(out, user);
	str_append_byte(out, '\t');
	str_append(out, value);
	str_append_byte(out, '\n');
}

bool passwd_edit(struct slice text, struct slice user, struct slice value, struct str *out)
{
	bool found = false, drop = false;
	struct slice line, rest, key;

	while (text.len > 0) {
		slice_cut(&text, '\n', &line);
		/* A line that begins with white space goes on with the one before it. */
		if (!is_comment(line) && line.ptr[0] != ' ' && line.ptr[0] != '\t') {
			rest = line;
			drop = slice_word(&rest, " \t\r", &key) && slice_eq_nocase(key, user);
			if (drop && !found && value.len)
				put_entry(out, user, value);
			found |= drop;
		}
		if (drop && !is_comment(line))
			continue;
		str_append(out, line);
		str_append_byte(out, '\n');
	}
	if (!found && value.len)
		put_entry(out, user, value);
	return found;
}

static bool read_all(int fd, struct str *text, struct err *err)
{
	char block[16384];
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0) {
		if (text->len + (size_t)n > FILE_LIMIT)
			return err_set(err, ERR_LIMIT, "more than %zu bytes", FILE_LIMIT);
		str_append(text, slice_make(block, (size_t)n));
	}
	return n == 0 || err_set_errno(err, ERR_PERMANENT, "read");
}

static bool write_all(int fd, struct slice text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.ptr, text.len);

		if (n < 0 && errno != EINTR)
			return false;
		text = slice_sub(text, n > 0 ? (size_t)n : 0, text.len);
	}
	return true;
}

/* Beside the old one, with its owner; nobody gets to read it who could not before. */
static bool replace_file(const char *path, int old, struct slice text, struct err *err)
{
	struct str name = { 0 };
	struct stat st;
	mode_t mode;
	bool ok;
	int fd;

	if (fstat(old, &st) != 0)
		return err_set_errno(err, ERR_PERMANENT, "%s", path);
	mode = st.st_mode & 0640;
	str_printf(&name, "%s.XXXXXX", path);
	fd = mkstemp(name.data);
	ok = fd >= 0 && (geteuid() != 0 || fchown(fd, st.st_uid, st.st_gid) == 0) && fchmod(fd, mode) == 0 &&
	     write_all(fd, text) && fsync(fd) == 0 && rename(name.data, path) == 0;
	if (!ok) {
		err_set_errno(err, ERR_PERMANENT, "write %s", str_cstr(&name));
		if (fd >= 0)
			unlink(name.data);
	}
	if (fd >= 0)
		close(fd);
	str_free(&name);
	return ok;
}

/* Open and locked, and still what the name stands for: two commands do not undo each other's change. */
static int open_locked(const char *path, struct err *err)
{
	struct stat mine, named;

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &mine) != 0) {
			err_set_errno(err, ERR_PERMANENT, "open %s", path);
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (stat(path, &named) == 0 && named.st_ino == mine.st_ino && named.st_dev == mine.st_dev)
			return fd;
		close(fd);
	}
}

/* The index, by postmap: it knows all types, and puts the new one in the old one's place at once. */
static bool rebuild(const struct job *job, struct err *err)
{
	struct str program = { 0 };
	char *map = mem_strdup(job->map), *dir = mem_strdup(config_dir(job->config));
	char option[] = "-c";
	int status = -1;
	pid_t pid;

	str_printf(&program, "%s/postmap", config_text(job->config, "command_directory"));
	pid = fork();
	if (pid == 0) {
		char *argv[] = { program.data, option, dir, map, NULL };

		execv(argv[0], argv);
		fprintf(stderr, "postrider: fatal: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	str_free(&program);
	free(map);
	free(dir);
	return (pid > 0 && status == 0) ||
	       err_set(err, ERR_PERMANENT, "postmap %s failed: the table is older than %s", job->map, job->path);
}

/* 1: there was an entry, 0: there was none, -1: error. */
static int change(const struct job *job, struct slice value, struct err *err)
{
	struct str old = { 0 }, text = { 0 };
	int fd = open_locked(job->path, err), found = -1;
	bool ok;

	if (fd < 0)
		return -1;
	ok = read_all(fd, &old, err);
	if (ok) {
		found = passwd_edit(str_slice(&old), slice_of(job->user), value, &text);
		if (found || value.len)
			ok = replace_file(job->path, fd, str_slice(&text), err);
	}
	if (ok && (found || value.len) && strncmp(job->map, "texthash:", 9) != 0)
		ok = rebuild(job, err);
	close(fd);
	str_free(&old);
	str_free(&text);
	return ok ? found : -1;
}

/* --- passwords --- */

/* One line, without its end. */
static bool read_line(FILE *file, struct str *line)
{
	int c;

	while ((c = getc(file)) != EOF && c != '\n')
		if (line->len <= SASL_PASSWORD_MAX)
			str_append_byte(line, (char)c);
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		str_truncate(line, line->len - 1);
	return line->len > 0 || c == '\n';
}

static bool ask(FILE *terminal, const char *prompt, struct str *line)
{
	struct termios before, silent;
	bool quiet = tcgetattr(fileno(terminal), &before) == 0, ok;

	/* Before the question: what is typed in answer to it must neither be shown nor be flushed. */
	if (quiet) {
		silent = before;
		silent.c_lflag &= (tcflag_t)~ECHO;
		(void)tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
	}
	fprintf(stderr, "%s: ", prompt);
	ok = read_line(terminal, line);
	if (quiet)
		(void)tcsetattr(fileno(terminal), TCSADRAIN, &before);
	fputc('\n', stderr);
	return ok;
}

static void forget(struct str *text)
{
	if (text->data)
		OPENSSL_cleanse(text->data, text->cap);
	str_free(text);
}

static bool get_password(bool twice, struct str *password, struct err *err)
{
	struct str again = { 0 };
	bool ok;

	if (!isatty(STDIN_FILENO)) {
		ok = read_line(stdin, password);
	} else {
		ok = ask(stdin, "Password", password);
		if (ok && twice) {
			ok = ask(stdin, "Password again", &again) && slice_eq(str_slice(&again), str_slice(password));
			forget(&again);
			if (!ok)
				return err_set(err, ERR_PERMANENT, "the passwords differ");
		}
	}
	if (!ok || password->len == 0)
		return err_set(err, ERR_PERMANENT, "no password was given");
	return password->len <= SASL_PASSWORD_MAX ||
	       err_set(err, ERR_LIMIT, "a password has at most %d bytes", SASL_PASSWORD_MAX);
}

/* --- the commands --- */

static int add_user(const struct job *job)
{
	struct str password = { 0 }, hash = { 0 };
	struct err err = { 0 };
	int found = -1;

	if (get_password(true, &password, &err) && password_hash(job->scheme, str_slice(&password), &hash, &err))
		found = change(job, str_slice(&hash), &err);
	forget(&password);
	str_free(&hash);
	if (found < 0)
		return complain("", err.text);
	printf("%s: %s\n", job->user, found ? "password changed" : "added");
	return 0;
}

static int delete_user(const struct job *job)
{
	struct err err = { 0 };
	int found = change(job, SLICE_NONE, &err);

	if (found < 0)
		return complain("", err.text);
	if (!found)
		return complain(job->user, "no such user");
	printf("%s: deleted\n", job->user);
	return 0;
}

static const char *kind_of(struct slice value)
{
	static const struct {
		const char *prefix, *kind;
	} kinds[] = { { "$y$", "yescrypt" }, { "$2", "bcrypt" }, { "$6$", "sha512" }, { "$5$", "sha256" },
		      { "$1$", "md5" }, { "SCRAM-SHA-256$", "scram-sha-256" }, { "SCRAM-SHA-1$", "scram-sha-1" },
		      { "!", "locked" }, { "*", "locked" } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_starts(value, slice_of(kinds[i].prefix)))
			return kinds[i].kind;
	return password_usable(value) ? "crypt" : "unusable";
}

static int list_users(const struct job *job)
{
	struct str all = { 0 };
	struct err err = { 0 };
	struct slice text, line, key;
	int fd = open(job->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return complain(job->path, strerror(errno));
	if (!read_all(fd, &all, &err)) {
		close(fd);
		return complain(job->path, err.text);
	}
	close(fd);
	text = str_slice(&all);
	while (text.len > 0) {
		slice_cut(&text, '\n', &line);
		if (!is_comment(line) && line.ptr[0] != ' ' && line.ptr[0] != '\t' && slice_word(&line, " \t\r", &key))
			printf("%-40.*s %s\n", SLICE_FMT(key), kind_of(slice_trim(line)));
	}
	forget(&all);
	return 0;
}

/* Through the table, as auth looks it up. */
static int verify_user(const struct job *job)
{
	struct arena *arena = arena_create(0);
	struct str password = { 0 }, key = { 0 };
	struct err err = { 0 };
	struct table *table = table_open(job->map, &err);
	enum table_result found = TABLE_ERROR;
	struct slice stored = SLICE_NONE;
	bool right;

	str_append_lower(&key, slice_of(job->user));
	if (table)
		found = table_lookup(table, str_slice(&key), arena, &stored, &err);
	right = found == TABLE_FOUND && get_password(false, &password, &err) &&
		password_verify(slice_trim(stored), str_slice(&password)) == PASSWORD_RIGHT;
	forget(&password);
	str_free(&key);
	if (table)
		table_close(&table);
	arena_free(&arena);
	if (found == TABLE_ERROR || (!right && err.text[0]))
		return complain("", err.text);
	if (right)
		printf("%s: the password is right\n", job->user);
	return right ? 0 : complain(job->user, found == TABLE_FOUND ? "wrong password" : "no such user");
}

static int usage(void)
{
	fputs("usage: postrider passwd [-m type:file] [-s yescrypt|bcrypt|sha512|scram-sha-256] add user | del user |\n"
	      "                        list | verify user\n",
	      stderr);
	return EX_USAGE;
}

static bool is_user(const char *user)
{
	for (const char *at = user; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 127)
			return false;
	return user[0] && user[0] != '#' && strlen(user) <= SASL_LOGIN_MAX;
}

/* The table: -m's, or the first of smtpd_sasl_password_maps; it must be one that is made from a file. */
static bool find_map(struct job *job, struct arena *arena, struct err *err)
{
	static const char *const types[] = { "hash:", "btree:", "lmdb:", "cdb:", "dbm:", "texthash:" };
	struct slice rest, word = SLICE_NONE;

	if (!job->map) {
		rest = slice_of(config_text(job->config, "smtpd_sasl_password_maps"));
		if (!slice_word(&rest, " \t\r\n,", &word))
			return err_set(err, ERR_PERMANENT,
				       "smtpd_sasl_password_maps is empty; set it in main.cf, for example to hash:%s/passwords",
				       config_dir(job->config));
		job->map = arena_cstr(arena, word);
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strncmp(job->map, types[i], strlen(types[i])) != 0)
			continue;
		job->path = job->map + strlen(types[i]);
		return true;
	}
	return err_set(err, ERR_PERMANENT, "%s: not a table that is made from a file (hash, btree, lmdb, cdb, dbm, texthash)",
		       job->map);
}

static int run(struct job *job, int argc, char **argv)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	const char *command = argc > 0 ? argv[0] : "";
	bool list = strcmp(command, "list") == 0;
	int status = EX_USAGE;

	if (!list && argc == 2 && !is_user(argv[1])) {
		status = complain(argv[1], "a user's name has no white space or control characters, and no # at its front");
	} else if (argc == (list ? 1 : 2)) {
		job->user = argv[1];
		if (!find_map(job, arena, &err))
			status = complain("", err.text);
		else if (list)
			status = list_users(job);
		else if (strcmp(command, "add") == 0)
			status = add_user(job);
		else if (strcmp(command, "del") == 0)
			status = delete_user(job);
		else if (strcmp(command, "verify") == 0)
			status = verify_user(job);
	}
	arena_free(&arena);
	return status == EX_USAGE ? usage() : status;
}

int passwd_command(const struct config *config, int argc, char **argv)
{
	struct job job = { .config = config, .scheme = "yescrypt" };

	while (argc >= 2 && (strcmp(argv[0], "-m") == 0 || strcmp(argv[0], "-s") == 0)) {
		*(argv[0][1] == 'm' ? &job.map : &job.scheme) = argv[1];
		argc -= 2;
		argv += 2;
	}
	umask(077);
	return run(&job, argc, argv);
}
