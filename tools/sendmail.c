/* SPDX-License-Identifier: ISC */
/* sendmail(1), mailq(1), newaliases(1): by name and by options, as Postfix's. */
#include <errno.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/config/master_cf.h"
#include "common/mail/verp.h"
#include "tools/lib/compose.h"

enum mode { MODE_SEND, MODE_LIST, MODE_ALIASES, MODE_SMTP, MODE_FLUSH, MODE_START, MODE_ROUTE, MODE_NOTHING };

struct command {
	enum mode mode;
	struct compose_options message;
	const char *config_dir;      /* -C */
	const char *alias_file;      /* -oA */
	const char *flush_id;        /* -qI */
	const char *flush_site;      /* -qR */
};

static struct config *config;
static const char *name = "sendmail";

static void __attribute__((format(printf, 2, 3), noreturn)) die(int status, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s: fatal: ", name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

/* --- options --- */

static void set_mode(struct command *c, const char *argument)
{
	switch (argument[0]) {
	case 'm':
		c->mode = MODE_SEND;
		break;
	case 'p':
		c->mode = MODE_LIST;
		break;
	case 'i':
		c->mode = MODE_ALIASES;
		break;
	case 's':
		c->mode = MODE_SMTP;
		break;
	case 'd':
	case 'l':
		c->mode = MODE_START;
		break;
	case 'v':
		c->mode = MODE_ROUTE;
		break;
	case 'h':
	case 'H':
		c->mode = MODE_NOTHING;
		break;
	default:
		die(EX_USAGE, "unsupported: -b%s", argument);
	}
}

static void set_body(struct command *c, const char *argument)
{
	if (strcasecmp(argument, "8BITMIME") == 0)
		c->message.body_8bitmime = true;
	else if (strcasecmp(argument, "7BIT") != 0)
		die(EX_USAGE, "specify -B 7BIT or -B 8BITMIME");
}

static void set_return(struct command *c, const char *argument)
{
	if (strcasecmp(argument, "full") == 0)
		c->message.ret = RET_FULL;
	else if (strcasecmp(argument, "hdrs") == 0)
		c->message.ret = RET_HDRS;
	else
		die(EX_USAGE, "specify -R full or -R hdrs");
}

/* -o: most of sendmail's single-letter options change nothing here. */
static void set_option(struct command *c, const char *argument)
{
	if (argument[0] == 'A' && argument[1])
		c->alias_file = argument + 1;
	else if (argument[0] == 'i')
		c->message.dot_is_text = true;
}

static void set_flush(struct command *c, const char *argument)
{
	if (!argument) {
		c->mode = MODE_FLUSH;
	} else if (argument[0] == 'I' && argument[1]) {
		c->mode = MODE_FLUSH;
		c->flush_id = argument + 1;
	} else if (argument[0] == 'R' && argument[1]) {
		c->mode = MODE_FLUSH;
		c->flush_site = argument + 1;
	} else if (argument[0] == 'S') {
		die(EX_USAGE, "-qS is not implemented: use \"sendmail -q\"");
	} else if (argument[0] < '0' || argument[0] > '9') {
		die(EX_USAGE, "unsupported: -q%s", argument);
	}
}

static void set(struct command *c, int letter, const char *argument)
{
	switch (letter) {
	case 'B':
		set_body(c, argument);
		break;
	case 'C':
		c->config_dir = argument;
		break;
	case 'F':
		c->message.full_name = argument;
		break;
	case 'I':
		c->mode = MODE_ALIASES;
		break;
	case 'N':
		if (!compose_notify(argument, &c->message.notify))
			die(EX_USAGE, "bad -N option value: use \"never\", or one or more of delay, failure, success");
		break;
	case 'R':
		set_return(c, argument);
		break;
	case 'V':
		c->message.envid = argument;
		break;
	case 'X':
		/* -X FILE of old sendmail is a log of traffic: not here. */
		if (argument[0] == 'V')
			c->message.verp = argument + 1;
		break;
	case 'b':
		set_mode(c, argument);
		break;
	case 'f':
	case 'r':
		c->message.sender = argument;
		break;
	case 'i':
		c->message.dot_is_text = true;
		break;
	case 'o':
		set_option(c, argument);
		break;
	case 'q':
		set_flush(c, argument);
		break;
	case 't':
		c->message.extract = true;
		break;
	case '?':
		die(EX_USAGE, "usage: %s [options] [recipient ...]", name);
	default:
		break; /* taken silently: -A -G -L -O -U -c -e -h -m -n -p -v -x */
	}
}

/* A file's directory, or the directory. */
static char *directory_of(const char *text)
{
	char *copy = strdup(text);
	size_t len = copy ? strlen(copy) : 0;

	if (len > 8 && strcmp(copy + len - 8, "/main.cf") == 0)
		copy[len - 8] = '\0';
	return copy;
}

/* --- who sends --- */

/* Gecos: up to the comma, '&' is the login name. */
static char *gecos_name(const struct passwd *pw)
{
	struct str full = { 0 };

	for (const char *at = pw->pw_gecos ? pw->pw_gecos : ""; *at && *at != ','; at++) {
		if (*at != '&') {
			str_append_byte(&full, *at);
			continue;
		}
		size_t first = full.len;

		str_append_text(&full, pw->pw_name);
		if (full.len > first && full.data[first] >= 'a' && full.data[first] <= 'z')
			full.data[first] = (char)(full.data[first] - 'a' + 'A');
	}
	return str_detach(&full);
}

static void find_user(struct compose_options *m)
{
	/* As long as the command lives. */
	static char login[256];
	static char full_name[512];
	const struct passwd *pw = getpwuid(getuid());

	if (pw)
		snprintf(login, sizeof(login), "%s", pw->pw_name);
	else
		snprintf(login, sizeof(login), "unknown-uid-%u", (unsigned)getuid());
	m->login = login;
	if (!m->full_name)
		m->full_name = getenv("NAME");
	if (!m->full_name && pw) {
		char *gecos = gecos_name(pw);

		snprintf(full_name, sizeof(full_name), "%s", gecos);
		free(gecos);
		m->full_name = full_name;
	}
	if (!m->full_name)
		m->full_name = "";
}

/* --- running others --- */

static char *program(const char *parameter, const char *file)
{
	struct str path = { 0 };

	str_printf(&path, "%s/%s", config_text(config, parameter), file);
	return str_detach(&path);
}

static void __attribute__((noreturn)) run(const char *file, const char *option, const char *value)
{
	char *path = program("command_directory", file);

	if (value)
		execl(path, path, option, value, (char *)NULL);
	else
		execl(path, path, option, (char *)NULL);
	die(EX_UNAVAILABLE, "execute %s: %s", path, strerror(errno));
}

static void __attribute__((noreturn)) run_postalias(const char *list)
{
	char *path = program("command_directory", "postalias"), *argv[64] = { path };
	struct slice rest = slice_of(list), word;
	size_t count = 1;

	while (count < 63 && slice_word(&rest, ", \t\r\n", &word))
		argv[count++] = mem_slicedup(word);
	if (count == 1)
		exit(EX_OK);
	execv(path, argv);
	die(EX_UNAVAILABLE, "execute %s: %s", path, strerror(errno));
}

/* -bv: what becomes of each address. */
static void __attribute__((noreturn)) run_route(const struct command *c)
{
	char *path = program("command_directory", "postrider");
	static char route[] = "route", sender[] = "--sender", end[] = "--";
	size_t count = 0, n = 0;

	while (c->message.recipients[count])
		count++;
	if (count == 0)
		die(EX_USAGE, "-bv: no addresses");
	char **argv = mem_alloc((count + 6) * sizeof(*argv));

	argv[n++] = path;
	argv[n++] = route;
	if (c->message.sender) {
		argv[n++] = sender;
		argv[n++] = mem_strdup(c->message.sender);
	}
	argv[n++] = end;
	for (size_t i = 0; i < count; i++)
		argv[n++] = c->message.recipients[i];
	execv(path, argv);
	die(EX_UNAVAILABLE, "execute %s: %s", path, strerror(errno));
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* Only postdrop may write into maildrop/. */
static int give_to_postdrop(const struct str *message)
{
	char *path = program("command_directory", "postdrop");
	int pipe_fd[2], status = 0;
	size_t done = 0;
	pid_t pid;

	if (pipe(pipe_fd) < 0 || (pid = fork()) < 0)
		die(EX_OSERR, "start %s: %s", path, strerror(errno));
	if (pid == 0) {
		dup2(pipe_fd[0], STDIN_FILENO);
		close(pipe_fd[0]);
		close(pipe_fd[1]);
		execl(path, path, "-r", (char *)NULL);
		fprintf(stderr, "%s: fatal: execute %s: %s\n", name, path, strerror(errno));
		_exit(EX_UNAVAILABLE);
	}
	close(pipe_fd[0]);
	signal(SIGPIPE, SIG_IGN);
	while (done < message->len) {
		ssize_t n = write(pipe_fd[1], message->data + done, message->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* its exit status tells why */
		done += (size_t)n;
	}
	close(pipe_fd[1]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die(EX_OSERR, "wait for %s: %s", path, strerror(errno));
	free(path);
	if (exit_status(status) == 0 && done < message->len)
		return EX_TEMPFAIL;
	return exit_status(status);
}

static void check_verp(struct compose_options *m)
{
	if (!m->verp)
		return;
	if (!m->verp[0])
		m->verp = config_text(config, "default_verp_delimiters");
	if (!verp_delimiters_valid(slice_of(m->verp), config_text(config, "verp_delimiter_filter")))
		die(EX_USAGE, "-XV requires two characters from %s", config_text(config, "verp_delimiter_filter"));
	if (m->sender && !m->sender[0])
		die(EX_USAGE, "-XV needs a sender");
}

static int send_message(struct command *c)
{
	struct str message = { 0 };
	struct err err = { 0 };
	int status;

	find_user(&c->message);
	check_verp(&c->message);
	c->message.size_limit = (uint64_t)config_int(config, "message_size_limit");
	status = compose_message(&c->message, stdin, &message, &err);
	if (status)
		die(status, "%s(%u): %s", c->message.login, (unsigned)getuid(), err.text);
	status = give_to_postdrop(&message);
	str_free(&message);
	return status;
}

/* --- -bs --- */

/* The first inet listener of smtpd in master.cf. */
static bool smtp_listener(char *host, size_t host_size, char *port, size_t port_size)
{
	struct str path = { 0 };
	struct master_cf *cf;
	struct err err = { 0 };
	bool found = false;

	str_printf(&path, "%s/master.cf", config_dir(config));
	cf = master_cf_load(str_cstr(&path), &err);
	if (!cf)
		die(EX_CONFIG, "%s", err.text);
	for (size_t i = 0; i < master_cf_count(cf) && !found; i++) {
		const struct master_entry *e = master_cf_entry(cf, i);
		struct slice text = slice_of(e->name);
		ptrdiff_t colon = slice_rfind(text, ':');

		if (e->type != MASTER_INET || strcmp(e->command, "smtpd") != 0)
			continue;
		struct slice address = slice_sub(text, 0, colon < 0 ? 0 : (size_t)colon);

		if (address.len > 1 && address.ptr[0] == '[')
			address = slice_sub(address, 1, address.len - 2);
		if (address.len == 0 || slice_eq(address, SLICE("0.0.0.0")) || slice_eq(address, SLICE("::")))
			address = SLICE("127.0.0.1");
		snprintf(host, host_size, "%.*s", SLICE_FMT(address));
		snprintf(port, port_size, "%s", text.ptr + colon + 1);
		found = true;
	}
	master_cf_free(&cf);
	str_free(&path);
	return found;
}

static int connect_smtp(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
	char host[256], port[64];
	int fd = -1;

	if (!smtp_listener(host, sizeof(host), port, sizeof(port)))
		die(EX_UNAVAILABLE, "-bs: no inet service with smtpd in master.cf");
	if (getaddrinfo(host, port, &hints, &all) != 0)
		die(EX_UNAVAILABLE, "-bs: unknown address %s port %s", host, port);
	for (struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	if (fd < 0)
		die(EX_TEMPFAIL, "-bs: connect to %s port %s: %s", host, port, strerror(errno));
	return fd;
}

/* Passes a whole reply on; its code, 0 when the server has gone. */
static int pass_reply(FILE *server)
{
	char *line = NULL;
	size_t room = 0;
	int code = 0;
	bool more = true;

	while (more) {
		ssize_t n = getline(&line, &room, server);

		if (n < 4) {
			code = 0;
			break;
		}
		fwrite(line, 1, (size_t)n, stdout);
		more = line[3] == '-';
		code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
	}
	fflush(stdout);
	free(line);
	return code;
}

/* With CRLF at its end. */
static void send_line(FILE *server, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	fwrite(line, 1, len, server);
	fputs("\r\n", server);
}

static void send_data(FILE *server)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	/* Without its end the server must not take the message. */
	while ((n = getline(&line, &room, stdin)) > 0) {
		send_line(server, line, (size_t)n);
		if (line[0] == '.' && (n == 1 || line[1] == '\n' || line[1] == '\r'))
			break;
	}
	free(line);
}

static void send_chunk(FILE *server, const char *line)
{
	struct slice text = slice_of(line + 4), word;
	uint64_t size;

	if (!slice_word(&text, " \t\r\n", &word) || !slice_to_u64(word, &size))
		return;
	for (int c; size > 0 && (c = getchar()) != EOF; size--)
		fputc(c, server);
}

/*
 * A dialogue with the running server over standard input and output.  Command by command, so that
 * a script may write all of them at once.
 */
static int talk_smtp(void)
{
	int fd = connect_smtp();
	FILE *server = fdopen(fd, "r+");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int code;

	signal(SIGPIPE, SIG_IGN);
	if (!server)
		die(EX_OSERR, "out of memory");
	while ((code = pass_reply(server)) != 0 && code != 221 && code != 421) {
		if (code == 354) {
			send_data(server);
		} else if ((n = getline(&line, &room, stdin)) > 0) {
			send_line(server, line, (size_t)n);
			if (strncasecmp(line, "BDAT", 4) == 0)
				send_chunk(server, line);
		} else {
			break;
		}
		if (fflush(server) != 0)
			break;
	}
	free(line);
	fclose(server);
	return EX_OK;
}

/* --- main --- */

static void parse(int argc, char **argv, struct command *c)
{
	const char *slash = strrchr(argv[0], '/');
	int letter;

	name = slash ? slash + 1 : argv[0];
	if (strcmp(name, "mailq") == 0)
		c->mode = MODE_LIST;
	else if (strcmp(name, "newaliases") == 0)
		c->mode = MODE_ALIASES;
	while ((letter = getopt(argc, argv, "+A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q::tvx")) != -1)
		set(c, letter, optarg);
	c->message.recipients = argv + optind;
}

static int do_command(struct command *c)
{
	switch (c->mode) {
	case MODE_LIST:
		run("postqueue", "-p", NULL);
	case MODE_ALIASES:
		run_postalias(c->alias_file ? c->alias_file : config_text(config, "alias_database"));
	case MODE_SMTP:
		return talk_smtp();
	case MODE_FLUSH:
		if (c->flush_id || c->flush_site)
			run("postqueue", c->flush_id ? "-i" : "-s", c->flush_id ? c->flush_id : c->flush_site);
		run("postqueue", "-f", NULL);
	case MODE_START:
		run("postrider", "start", NULL);
	case MODE_ROUTE:
		run_route(c);
	case MODE_NOTHING:
		return EX_OK;
	case MODE_SEND:
		break;
	}
	return send_message(c);
}

int main(int argc, char **argv)
{
	struct command command = { 0 };
	struct err err = { 0 };
	char *dir = NULL;
	int status;

	parse(argc, argv, &command);
	if (command.config_dir) {
		dir = directory_of(command.config_dir);
		if (!dir || setenv("MAIL_CONFIG", dir, 1) < 0)
			die(EX_OSERR, "out of memory");
	}
	config = config_load(dir, NULL, 0, &err);
	if (!config)
		die(EX_CONFIG, "%s", err.text);
	status = do_command(&command);
	config_free(&config);
	free(dir);
	return status;
}
