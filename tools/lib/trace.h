/* SPDX-License-Identifier: ISC */
/* The life of messages, out of the log: every line of a message, and of those that came of it. */
#ifndef POSTRIDER_TOOLS_LIB_TRACE_H
#define POSTRIDER_TOOLS_LIB_TRACE_H

#include <stdio.h>

#include "common/base/slice.h"

/* A line of the log: "Nov 27 07:12:34 host postfix/smtpd[12]: 4abcz1: text". */
struct trace_line {
	struct slice time, program, id, text;   /* id: empty when the line is about no message */
};
/* False: no line of a mail system. */
bool trace_parse(struct slice line, struct trace_line *parsed);

struct trace;
/* `what`: a queue ID, an address, or a Message-ID with or without its brackets. */
struct trace *trace_create(const char *what);
void trace_free(struct trace **trace);
/* First reading: which messages there are, and what came of what. */
void trace_learn(struct trace *trace, const struct trace_line *line);
/* After it: those that are meant, and all that are linked to them. */
void trace_choose(struct trace *trace);
/* Second reading, and lines that come later (which are learnt from here, too): is it about one of those? */
bool trace_concerns(struct trace *trace, const struct trace_line *line);
/* Was any message found? */
bool trace_found(const struct trace *trace);

#endif
