/* SPDX-License-Identifier: ISC */
/*
 * postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text…]: writes lines to the mail log: the
 * text given, or each line of standard input.  To the terminal as well when standard error is one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/instance.h"
#include "tools/lib/connect.h"

enum priority { PRIORITY_INFO, PRIORITY_WARNING, PRIORITY_ERROR, PRIORITY_FATAL, PRIORITY_PANIC };

static bool parse_priority(const char *word, enum priority *priority)
{
	static const struct {
		const char *word;
		enum priority priority;
	} words[] = { { "info", PRIORITY_INFO },   { "warn", PRIORITY_WARNING }, { "warning", PRIORITY_WARNING },
		      { "error", PRIORITY_ERROR }, { "fatal", PRIORITY_FATAL },  { "panic", PRIORITY_PANIC } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) == 0) {
			*priority = words[i].priority;
			return true;
		}
	}
	return false;
}

static void write_line(enum priority priority, struct slice line)
{
	static const char *const prefix[] = { [PRIORITY_FATAL] = "fatal: ", [PRIORITY_PANIC] = "panic: " };

	switch (priority) {
	case PRIORITY_INFO:
		log_info("%.*s", SLICE_FMT(line));
		break;
	case PRIORITY_WARNING:
		log_warning("%.*s", SLICE_FMT(line));
		break;
	case PRIORITY_ERROR:
		log_error("%.*s", SLICE_FMT(line));
		break;
	case PRIORITY_FATAL:
	case PRIORITY_PANIC:
		/* The caller's trouble, not ours: we go on. */
		log_info("%s%.*s", prefix[priority], SLICE_FMT(line));
		break;
	}
}

static void write_input(enum priority priority)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) >= 0) {
		if (len > 0 && line[len - 1] == '\n')
			len--;
		write_line(priority, slice_make(line, (size_t)len));
	}
	free(line);
}

static void write_arguments(enum priority priority, char **argv)
{
	struct str text = { 0 };

	for (; *argv; argv++)
		str_printf(&text, "%s%s", text.len ? " " : "", *argv);
	write_line(priority, str_slice(&text));
	str_free(&text);
}

static void open_log(const struct config *config, const char *tag)
{
	struct str name = { 0 };
	struct err err = { 0 };
	bool syslog = false;
	int fd = instance_open_log(config, true, &syslog, &err);

	if (fd < 0)
		log_fatal("%s", err.text);
	str_printf(&name, "%s/postlog", config_text(config, "syslog_name"));
	log_open(tag ? tag : str_cstr(&name), fd, syslog);
	log_to_stderr(isatty(STDERR_FILENO) && fd != STDERR_FILENO);
	str_free(&name);
}

int main(int argc, char **argv)
{
	enum priority priority = PRIORITY_INFO;
	const char *dir = NULL, *tag = NULL;
	struct config *config;
	int option;

	while ((option = getopt(argc, argv, "ic:p:t:v")) > 0) {
		if (option == 'c')
			dir = optarg;
		else if (option == 't')
			tag = optarg;
		else if (option == '?' || (option == 'p' && !parse_priority(optarg, &priority))) {
			fprintf(stderr, "usage: postlog [-iv] [-c config_dir] [-p info|warn|error|fatal|panic] [-t tag] [text...]\n");
			return EX_USAGE;
		}
	}
	config = tool_config(dir);
	open_log(config, tag);
	if (optind < argc)
		write_arguments(priority, argv + optind);
	else
		write_input(priority);
	config_free(&config);
	return 0;
}
