/* SPDX-License-Identifier: ISC */
/*
 * What became of a delivery.  It owns its text, so that it can be carried from one process to
 * another; what is too long is cut off.
 */
#ifndef POSTRIDER_DELIVERY_LIB_OUTCOME_H
#define POSTRIDER_DELIVERY_LIB_OUTCOME_H

#include "common/base/slice.h"
#include "common/proto/delivery_proto.h"

struct outcome {
	enum delivery_outcome outcome;  /* 0: nothing is known yet */
	char dsn[12];                   /* "2.0.0" */
	char text[1000];                /* what the log shows in parentheses */
	enum delivery_action action;    /* not part of what is written to a pipe */
};

void outcome_set(struct outcome *o, enum delivery_outcome outcome, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* By the class of the status: 2 sent, 5 bounced, all else deferred. */
void outcome_set_dsn(struct outcome *o, const char *dsn, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * A system call failed: "what: text of errno".  Full quotas and files that may not grow (EDQUOT, EFBIG)
 * return the mail, 5.2.2; all else is tried again.
 */
void outcome_set_errno(struct outcome *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "class.subject.detail" at the start of `text`, class 2, 4 or 5, and white space or the end behind it. */
bool outcome_find_dsn(struct slice text, struct slice *dsn, struct slice *rest);
/*
 * How a program ended (wait status), with the first of what it wrote: the codes of sysexits.h, as
 * pipe(8) and local(8) take them.  A status that the program itself wrote at the start of its output goes
 * first.  `success` is the text for exit status 0; `command` names the program in messages.
 */
void outcome_set_exit(struct outcome *o, int status, struct slice output, const char *command, const char *success);

/* Written to and read from a pipe: "outcome dsn text".  False: not of that form. */
bool outcome_write(const struct outcome *o, int fd);
bool outcome_parse(struct outcome *o, struct slice line);

#endif
