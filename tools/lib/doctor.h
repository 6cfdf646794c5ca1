/* SPDX-License-Identifier: ISC */
/* postdoctor's parts: a file a subcommand. */
#ifndef POSTRIDER_TOOLS_LIB_DOCTOR_H
#define POSTRIDER_TOOLS_LIB_DOCTOR_H

#include <jansson.h>

#include "authn/spf.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "tools/lib/doctor_dns.h"

/* What is given on the command line; NULL: not given. */
struct doctor_options {
	const char *config_dir, *dns, *ip, *helo, *sender, *selector, *send_from;
	bool json, markdown, color, connect;
	const char *subject; /* a domain or a file */
};

struct doctor {
	const struct doctor_options *options;
	const struct config *config; /* NULL: there is none */
	struct doctor_dns dns;
	struct arena *arena;
	int status; /* of exit */
};

/* Each in a task; sets doctor->status. */
void doctor_spf(struct doctor *doctor);
void doctor_message(struct doctor *doctor);
/* Of options->subject. */
void doctor_domain(struct doctor *doctor);

/* Prints as pretty JSON and drops the reference. */
void doctor_print_json(json_t *json);
/* Text from outside: invalid UTF-8 and control characters replaced. */
json_t *doctor_json_text(struct slice text);
json_t *doctor_spf_json(const struct spf_answer *answer);
void doctor_print_spf(const struct spf_answer *answer);
/* Printable text from outside. */
void doctor_print_text(struct slice text);

#endif
