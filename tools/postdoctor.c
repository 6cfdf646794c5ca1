/* SPDX-License-Identifier: ISC */
/* postdoctor: what is wrong with a domain's mail, or with a message, and what mends it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tools/lib/connect.h"
#include "tools/lib/doctor.h"

struct subcommand {
	const char *name;
	void (*run)(struct doctor *doctor);
	bool needs_client; /* --ip and --helo */
	bool takes_subject;
};

static const struct subcommand subcommands[] = {
    {"spf", doctor_spf, true, false},
    {"message", doctor_message, false, true},
};

static void usage(void)
{
	fputs("usage: postdoctor DOMAIN [--selector NAME] [--ip ADDRESS] [--helo NAME] "
	      "[--send-from ADDRESS] [--markdown]\n"
	      "       postdoctor message [--ip ADDRESS --helo NAME --sender ADDRESS] [FILE]\n"
	      "       postdoctor spf --ip ADDRESS --helo NAME --sender ADDRESS\n"
	      "options of all: [-c config_dir] [--dns ADDRESS:PORT] [--json]\n",
	      stderr);
	exit(EX_USAGE);
}

static void parse_options(int argc, char **argv, struct doctor_options *o)
{
	enum { DNS = 256, IP, HELO, SENDER, SELECTOR, SEND_FROM, JSON, MARKDOWN, CONNECT };
	static const struct option options[] = {
	    {"dns", required_argument, NULL, DNS},
	    {"ip", required_argument, NULL, IP},
	    {"helo", required_argument, NULL, HELO},
	    {"sender", required_argument, NULL, SENDER},
	    {"selector", required_argument, NULL, SELECTOR},
	    {"send-from", required_argument, NULL, SEND_FROM},
	    {"json", no_argument, NULL, JSON},
	    {"markdown", no_argument, NULL, MARKDOWN},
	    {"connect", no_argument, NULL, CONNECT},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			o->config_dir = optarg;
			break;
		case DNS:
			o->dns = optarg;
			break;
		case IP:
			o->ip = optarg;
			break;
		case HELO:
			o->helo = optarg;
			break;
		case SENDER:
			o->sender = optarg;
			break;
		case SELECTOR:
			o->selector = optarg;
			break;
		case SEND_FROM:
			o->send_from = optarg;
			break;
		case JSON:
			o->json = true;
			break;
		case MARKDOWN:
			o->markdown = true;
			break;
		case CONNECT:
			o->connect = true;
			break;
		default:
			usage();
		}
	}
}

/* Any other word is a domain. */
static const struct subcommand domain_subcommand = {"", doctor_domain, false, false};

static const struct subcommand *find_subcommand(const char *word)
{
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (strcmp(subcommands[i].name, word) == 0)
			return &subcommands[i];
	return NULL;
}

struct job {
	struct doctor doctor;
	const struct subcommand *subcommand;
};

static void run(void *arg)
{
	struct job *job = arg;
	struct err err;

	if (doctor_dns_open(&job->doctor.dns, job->doctor.options->dns, &err)) {
		job->subcommand->run(&job->doctor);
	} else {
		fprintf(stderr, "postdoctor: %s\n", err.text);
		job->doctor.status = err.code == ERR_SYNTAX ? EX_USAGE : EX_TEMPFAIL;
	}
	doctor_dns_close(&job->doctor.dns);
}

int main(int argc, char **argv)
{
	struct doctor_options options = {0};
	struct job job = {.doctor = {.options = &options}};
	struct config *config;
	struct err err;

	log_open("postdoctor", STDERR_FILENO, false);
	parse_options(argc, argv, &options);
	if (optind >= argc)
		usage();
	job.subcommand = find_subcommand(argv[optind]);
	options.subject = argv[optind++];
	if (!job.subcommand)
		job.subcommand = &domain_subcommand;
	if (argc - optind > (job.subcommand->takes_subject ? 1 : 0) ||
	    (job.subcommand->needs_client && (!options.ip || (!options.helo && !options.sender))))
		usage();
	if (job.subcommand != &domain_subcommand)
		options.subject = optind < argc ? argv[optind] : NULL;
	options.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	/* Without a configuration it works too: then with the defaults. */
	config = config_load(options.config_dir, NULL, 0, &err);
	if (!config && options.config_dir)
		log_fatal("%s", err.text);
	job.doctor.config = config;
	if (config)
		tool_use_config(config);
	else if (!options.dns)
		log_fatal("%s (give a name server by --dns)", err.text);
	job.doctor.arena = arena_create(16384);
	if (isatty(STDERR_FILENO) && !options.json)
		job.doctor.dns.progress = stderr;
	tool_run(run, &job);
	arena_free(&job.doctor.arena);
	config_free(&config);
	return job.doctor.status;
}
