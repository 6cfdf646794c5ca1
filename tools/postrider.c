/* SPDX-License-Identifier: ISC */
/*
 * postrider [-c config_dir] [-v] start | start-fg | stop | reload | abort | flush | status |
 *                                check [--from dir] | dns name type | passwd add|del|list|verify [user] |
 *                                route [--json] [--sender address] address ...
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "common/process/instance.h"
#include "tools/lib/check.h"
#include "tools/lib/dkim.h"
#include "tools/lib/dns.h"
#include "tools/lib/passwd.h"
#include "tools/lib/route.h"

#define STOP_SECONDS 30

struct command_line {
	const char *dir;         /* NULL: the usual one */
	struct config *config;   /* NULL for check, which says itself what is wrong */
	char *config_dir;        /* that of config */
	bool verbose;
	int argc;                /* of what follows the command */
	char **argv;
};

static char option_c[] = "-c", option_v[] = "-v";

static void say(const char *text)
{
	fprintf(stderr, "postrider: %s\n", text);
}

static int complain(const char *text)
{
	fprintf(stderr, "postrider: fatal: %s\n", text);
	return 1;
}

/* argv[0] is the path; returns only when it cannot be run. */
static int run(char **argv)
{
	execv(argv[0], argv);
	fprintf(stderr, "postrider: fatal: %s: %s\n", argv[0], strerror(errno));
	return 1;
}

static int start_master(const struct command_line *line, char *how)
{
	struct str path = { 0 };
	char *argv[8];
	size_t n = 0;
	int status;

	str_printf(&path, "%s/master", config_text(line->config, "daemon_directory"));
	argv[n++] = path.data;
	argv[n++] = option_c;
	argv[n++] = line->config_dir;
	argv[n++] = how;
	if (line->verbose)
		argv[n++] = option_v;
	argv[n] = NULL;
	say("starting the Postrider mail system");
	status = run(argv);
	str_free(&path);
	return status;
}

static int command_start(const struct command_line *line)
{
	char how[] = "-w";

	return start_master(line, how);
}

static int command_start_fg(const struct command_line *line)
{
	char how[] = "-s";

	return start_master(line, how);
}

/* The pid of the running master; 0 after a message. */
static pid_t running(const struct config *config)
{
	struct err err = { 0 };
	pid_t pid = instance_running(config, &err);

	if (pid < 0)
		complain(err.text);
	else if (pid == 0)
		complain("the Postrider mail system is not running");
	return pid > 0 ? pid : 0;
}

static bool send_signal(pid_t pid, int signum)
{
	if (kill(pid, signum) == 0)
		return true;
	fprintf(stderr, "postrider: fatal: signal master, pid %ld: %s\n", (long)pid, strerror(errno));
	return false;
}

static int stop_with(const struct command_line *line, int signum, const char *text)
{
	pid_t pid = running(line->config);
	struct err err = { 0 };

	if (pid == 0)
		return 1;
	say(text);
	if (!send_signal(pid, signum))
		return 1;
	for (int i = 0; i < STOP_SECONDS * 20; i++) {
		if (instance_running(line->config, &err) != pid)
			return 0;
		usleep(50000);
	}
	return complain("it does not end; try: postrider abort");
}

static int command_stop(const struct command_line *line)
{
	return stop_with(line, SIGTERM, "stopping the Postrider mail system");
}

static int command_abort(const struct command_line *line)
{
	return stop_with(line, SIGQUIT, "aborting the Postrider mail system");
}

static int command_reload(const struct command_line *line)
{
	struct str report = { 0 };
	pid_t pid = running(line->config);

	if (pid == 0)
		return 1;
	/* Master would keep the old configuration: say it here, where somebody reads it. */
	if (!check_files(line->dir, &report)) {
		fputs(str_cstr(&report), stderr);
		return complain("the configuration is wrong; the old one stays in use");
	}
	str_free(&report);
	say("refreshing the Postrider mail system");
	return send_signal(pid, SIGHUP) ? 0 : 1;
}

static int command_flush(const struct command_line *line)
{
	char option_f[] = "-f";
	struct str path = { 0 };
	char *argv[] = { NULL, option_c, line->config_dir, option_f, NULL };
	int status;

	str_printf(&path, "%s/postqueue", config_text(line->config, "command_directory"));
	argv[0] = path.data;
	status = run(argv);
	str_free(&path);
	return status;
}

/* Copies master's own description to standard output. */
static bool show_processes(const struct config *config)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char text[4096];
	ssize_t n = 0;
	bool any = false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/private/master", config_text(config, "queue_directory"));
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		fprintf(stderr, "postrider: no list of processes: %s\n", strerror(errno));
	} else {
		while ((n = read(fd, text, sizeof(text))) > 0) {
			fwrite(text, 1, (size_t)n, stdout);
			any = true;
		}
	}
	if (fd >= 0)
		close(fd);
	return any;
}

static int command_dns(const struct command_line *line)
{
	return dns_command(line->config, line->argc, line->argv);
}

static int command_passwd(const struct command_line *line)
{
	return passwd_command(line->config, line->argc, line->argv);
}

static int command_status(const struct command_line *line)
{
	pid_t pid = running(line->config);

	if (pid == 0)
		return 1;
	fprintf(stderr, "postrider: the Postrider mail system is running: PID: %ld\n", (long)pid);
	if (show_processes(line->config))
		dns_show_counters(line->config);
	return 0;
}

static int command_check(const struct command_line *line)
{
	const char *dir = line->dir;
	struct str report = { 0 };
	bool elsewhere = line->argc == 2 && strcmp(line->argv[0], "--from") == 0;
	bool good;

	if (line->argc != 0 && !elsewhere)
		return complain("usage: postrider check [--from dir]");
	if (elsewhere)
		dir = line->argv[1];
	good = check_files(dir, &report);
	if (good && !elsewhere)
		good = check_directories(dir, &report);
	fputs(str_cstr(&report), good ? stdout : stderr);
	str_free(&report);
	return good ? 0 : 1;
}

static int command_route(const struct command_line *line)
{
	return route_command(line->config, line->argc, line->argv);
}

static int command_dkim(const struct command_line *line)
{
	return dkim_command(line->config, line->argc, line->argv);
}

static const struct {
	const char *name;
	int (*run)(const struct command_line *line);
} commands[] = {
	{ "start", command_start },   { "start-fg", command_start_fg }, { "stop", command_stop },
	{ "abort", command_abort },   { "reload", command_reload },     { "flush", command_flush },
	{ "status", command_status }, { "check", command_check },       { "dns", command_dns },
	{ "passwd", command_passwd },	{ "dkim", command_dkim },
	{ "route", command_route },
};

static int usage(void)
{
	fputs("usage: postrider [-c config_dir] [-v] start | start-fg | stop | reload | abort | flush | status |\n"
	      "                 check [--from dir] | dns name type | passwd add|del|list|verify [user] |\n"
	      "                 dkim genkey|check|sign domain [selector] |\n"
	      "                 route [--json] [--sender address] address ...\n",
	      stderr);
	return 1;
}

static int run_command(size_t index, struct command_line *line)
{
	struct err err = { 0 };
	int status;

	if (commands[index].run != command_check) {
		line->config = config_load(line->dir, NULL, 0, &err);
		if (!line->config)
			return complain(err.text);
		line->config_dir = mem_strdup(config_dir(line->config));
	}
	status = commands[index].run(line);
	free(line->config_dir);
	if (line->config)
		config_free(&line->config);
	return status;
}

int main(int argc, char **argv)
{
	struct command_line line = { 0 };
	int c;

	while ((c = getopt(argc, argv, "+c:vD")) != -1) {
		if (c == 'c')
			line.dir = optarg;
		else if (c == 'v')
			line.verbose = true;
		else if (c != 'D')
			return usage();
	}
	if (optind >= argc)
		return usage();
	line.argc = argc - optind - 1;
	line.argv = argv + optind + 1;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0)
			return run_command(i, &line);
	return usage();
}
