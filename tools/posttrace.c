/* SPDX-License-Identifier: ISC */
/* posttrace: the life of a message, out of the log: received, checked, each attempt, and what came of it. */
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tools/lib/connect.h"
#include "tools/lib/trace.h"

extern char **environ;

static struct {
	bool json, follow;
	const char *dir, *log;     /* log: NULL: what main.cf says, "-": standard input */
	char last[64];             /* the message of the line before */
} me;

/* --- where the lines come from --- */

/* What cannot be read twice is kept in a file without a name. */
static FILE *keep(FILE *from)
{
	FILE *file = tmpfile();
	char block[65536];
	size_t n;

	if (!file)
		log_fatal("temporary file: %m");
	while ((n = fread(block, 1, sizeof(block), from)) > 0)
		if (fwrite(block, 1, n, file) != n)
			log_fatal("temporary file: %m");
	rewind(file);
	return file;
}

static FILE *open_journal(void)
{
	char program[] = "journalctl", quiet[] = "-q", paging[] = "--no-pager", form[] = "--output=short", grep[] = "--grep=postfix";
	char *const argv[] = { program, quiet, paging, form, grep, NULL };
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], status;
	FILE *pipe_file, *file;
	pid_t pid;

	if (pipe(pipe_fds) != 0)
		log_fatal("pipe: %m");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
	posix_spawn_file_actions_addclose(&actions, pipe_fds[0]);
	posix_spawn_file_actions_addclose(&actions, pipe_fds[1]);
	status = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (status != 0)
		log_fatal("maillog_file is empty in main.cf, and journalctl cannot be run: name a file with --log");
	pipe_file = fdopen(pipe_fds[0], "r");
	file = keep(pipe_file);
	fclose(pipe_file);
	(void)waitpid(pid, &status, 0);
	return file;
}

/* *name: of the file, to be freed; NULL when it is none that can be followed. */
static FILE *open_log(char **name)
{
	struct config *config;
	FILE *file;

	if (me.log && strcmp(me.log, "-") == 0)
		return keep(stdin);
	if (me.log) {
		*name = mem_strdup(me.log);
	} else {
		config = tool_config(me.dir);
		*name = mem_strdup(config_text(config, "maillog_file"));
		config_free(&config);
	}
	if (!**name)
		return open_journal();
	file = fopen(*name, "re");
	if (!file)
		log_fatal("open %s: %m", *name);
	return file;
}

/* --- what is shown --- */

static json_t *text_of(struct slice s)
{
	json_t *text = json_stringn(s.ptr ? s.ptr : "", s.len);

	return text ? text : json_string("");
}

static void show_json(const struct trace_line *line)
{
	json_t *one = json_object();

	json_object_set_new(one, "queue_id", text_of(line->id));
	json_object_set_new(one, "time", text_of(line->time));
	json_object_set_new(one, "program", text_of(line->program));
	json_object_set_new(one, "text", text_of(line->text));
	json_dumpf(one, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(one);
}

/* A line names its message when it is another than that of the line before. */
static void show(const struct trace_line *line)
{
	char id[sizeof(me.last)];

	if (me.json) {
		show_json(line);
		return;
	}
	snprintf(id, sizeof(id), "%.*s", SLICE_FMT(line->id.len ? line->id : SLICE("refused")));
	if (strcmp(id, me.last) != 0)
		printf("%s\n", id);
	snprintf(me.last, sizeof(me.last), "%s", id);
	printf("  %.*s  %-9.*s %.*s\n", SLICE_FMT(line->time), SLICE_FMT(line->program), SLICE_FMT(line->text));
}

/* --- reading --- */

static void read_lines(FILE *file, struct trace *trace, bool showing, bool learning)
{
	struct trace_line line;
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&text, &room, file)) > 0) {
		struct slice all = slice_make(text, (size_t)len);

		if (all.ptr[all.len - 1] == '\n')
			all = slice_sub(all, 0, all.len - 1);
		if (!trace_parse(all, &line))
			continue;
		if (learning)
			trace_learn(trace, &line);
		if (showing && trace_concerns(trace, &line))
			show(&line);
	}
	fflush(stdout);
	free(text);
}

/* Until it is interrupted. */
static void follow(FILE *file, const char *name, struct trace *trace)
{
	struct pollfd poll_fd = { .events = POLLIN };
	char events[4096];

	poll_fd.fd = inotify_init1(IN_CLOEXEC);
	if (poll_fd.fd < 0 || inotify_add_watch(poll_fd.fd, name, IN_MODIFY) < 0)
		log_fatal("watch %s: %m", name);
	for (;;) {
		clearerr(file);
		read_lines(file, trace, true, true);
		if (poll(&poll_fd, 1, -1) > 0 && read(poll_fd.fd, events, sizeof(events)) < 0)
			log_fatal("watch %s: %m", name);
	}
}

static const struct option long_options[] = {
	{ "log", required_argument, NULL, 'l' }, { "json", no_argument, NULL, 'j' }, { "follow", no_argument, NULL, 'f' }, { 0 },
};

int main(int argc, char **argv)
{
	char *name = NULL;
	struct trace *trace;
	bool found, wrong = false;
	FILE *file;
	int option;

	while ((option = getopt_long(argc, argv, "c:fj", long_options, NULL)) > 0) {
		me.dir = option == 'c' ? optarg : me.dir;
		me.log = option == 'l' ? optarg : me.log;
		me.json |= option == 'j';
		me.follow |= option == 'f';
		wrong |= option == '?';
	}
	if (wrong || optind + 1 != argc || !argv[optind][0]) {
		fprintf(stderr, "usage: posttrace [-c dir] [--log file] [--json] [--follow] queue_id | address | message-id\n");
		return 64;
	}
	file = open_log(&name);
	trace = trace_create(argv[optind]);
	read_lines(file, trace, false, true);
	trace_choose(trace);
	rewind(file);
	read_lines(file, trace, true, false);
	found = trace_found(trace) || me.last[0];
	if (me.follow && name && *name)
		follow(file, name, trace);
	if (!found && !me.json)
		fprintf(stderr, "posttrace: the log has nothing about %s\n", argv[optind]);
	trace_free(&trace);
	free(name);
	fclose(file);
	return found ? 0 : 1;
}
