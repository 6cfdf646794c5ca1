/* SPDX-License-Identifier: ISC */
/* The process that reads token files and runs token programs: see token.h. */
#ifndef POSTRIDER_DELIVERY_SMTP_TOKEN_HELPER_H
#define POSTRIDER_DELIVERY_SMTP_TOKEN_HELPER_H

#include <pwd.h>
#include <stdbool.h>

#include "common/base/slice.h"

#define TOKEN_REQUEST_MAX 4000u
#define TOKEN_ANSWER_MAX  32768u
/* First byte of a request; the path, or path and arguments, follow. */
#define TOKEN_READ 'f'
#define TOKEN_RUN  'c'

struct token_helper_rules {
	const char *directory;
	const struct passwd *user;    /* NULL: stay who we are */
	unsigned time_limit;          /* seconds that a program may take */
};

/* Is it a path below the folder, with no part that leads out of it? */
bool token_path_allowed(const char *directory, struct slice path);
/* Says "+" over the socket when it has become the user, serves till the socket closes; never returns. */
void token_helper_main(const struct token_helper_rules *rules, int socket) __attribute__((noreturn));

#endif
