/* SPDX-License-Identifier: ISC */
/* sendmail(1): from standard input and the command line to a maildrop file. */
#ifndef POSTRIDER_TOOLS_LIB_COMPOSE_H
#define POSTRIDER_TOOLS_LIB_COMPOSE_H

#include <stdio.h>

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct compose_options {
	const char *sender;          /* -f: as given; NULL: `login` */
	const char *login;
	const char *full_name;       /* "" : none */
	const char *envid;           /* NULL: none */
	const char *verp;            /* delimiters; NULL: none */
	enum message_ret ret;
	uint8_t notify;
	bool body_8bitmime;
	bool dot_is_text;            /* -i */
	bool extract;                /* -t */
	char *const *recipients;     /* NULL-terminated; each may be a list */
	uint64_t size_limit;         /* of the content, 0: none */
};

/*
 * Reads the message and appends maildrop/'s form of it (common/mail/maildrop.h).  Returns 0
 * or an exit status of sysexits.h, with *err filled.
 */
int compose_message(const struct compose_options *options, FILE *input, struct str *out, struct err *err) MUST_USE;
/* -N: "never" or a list of success, failure, delay.  False: malformed. */
bool compose_notify(const char *text, uint8_t *notify);

#endif
