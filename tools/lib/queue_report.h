/* SPDX-License-Identifier: ISC */
/* postqueue's reports on a part of the queue: chosen by an expression, sorted, cut off, or counted by a property. */
#ifndef POSTRIDER_TOOLS_LIB_QUEUE_REPORT_H
#define POSTRIDER_TOOLS_LIB_QUEUE_REPORT_H

#include "common/config/config.h"

struct queue_report_options {
	bool json;                 /* a line of JSON a message; else as mailq prints it */
	const char *where;         /* NULL: all; queue_filter.h */
	bool count;                /* how many, and nothing else */
	const char *by;            /* NULL, or destination, sender, reason, client, age, queue: how many of each */
	const char *sort;          /* NULL, or age, size, next, id, attempts */
	size_t limit;              /* 0: none */
};
/* False: *err says which option is wrong. */
bool queue_report(const struct config *config, const struct queue_report_options *options, struct err *err) MUST_USE;

#endif
