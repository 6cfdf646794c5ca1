/* SPDX-License-Identifier: ISC */
/*
 * Running a program with a message on its standard input.  Called in a process that has the
 * program's user already, and that nobody else uses; blocks.
 */
#ifndef POSTRIDER_DELIVERY_LIB_PROGRAM_H
#define POSTRIDER_DELIVERY_LIB_PROGRAM_H

#include "delivery/lib/content.h"
#include "delivery/lib/outcome.h"

struct program {
	char *const *argv;            /* argv[0] without a '/' is looked for in PROGRAM_PATH */
	char *const *env;             /* the whole environment */
	const char *directory;        /* working directory */
	double time_limit;            /* seconds; then its process group is killed */
	const char *name;             /* in messages: the command as it was configured */
	const char *success;          /* text for exit status 0 */
};

#define PROGRAM_PATH "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

/*
 * The program has standard input, and standard output and error, which are kept for the outcome, and no other
 * descriptor; its own process group; signals as they are by default.  A message that cannot be read to its end
 * kills it: it never takes a part for the whole.  One that does not want the rest of the message may close
 * its input.
 */
void program_run(const struct program *p, const struct content *c, struct outcome *o);

#endif
