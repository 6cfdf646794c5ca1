/* SPDX-License-Identifier: ISC */
/*
 * Which messages of the queue: an expression like
 *
 *   to~@gmail.com and age>2h and not (reason~"4.7" or queue=hold)
 *
 * Fields: id queue from to domain (of a recipient) reason client login, and as numbers size (k, M, G),
 * age and next (s, m, h, d, w), attempts, recipients.  Operators: = != (text, in either case), ~ !~ (extended regular
 * expression), < <= > >= (numbers).  A test of `to`, `domain` or `reason` holds when it does for one recipient, of != and !~
 * when it does for all.  and, or, not (&&, ||, !), parentheses; values with blanks or parentheses stand in quotes.
 */
#ifndef POSTRIDER_TOOLS_LIB_QUEUE_FILTER_H
#define POSTRIDER_TOOLS_LIB_QUEUE_FILTER_H

#include "common/base/err.h"
#include "common/base/slice.h"

/* What is known of a recipient that waits. */
struct queue_recipient {
	const char *address, *reason;      /* "" when there is none */
	double attempts;
};

struct queue_entry {
	const char *id, *queue, *from, *client, *login;
	double arrival, size, next;        /* next: time of the next attempt; 0: none is planned */
	const struct queue_recipient *recipients;
	size_t recipient_count;
};

struct queue_filter;
/* NULL: *err names the column (from 1) and what was expected. */
struct queue_filter *queue_filter_parse(const char *text, struct err *err) MUST_USE;
void queue_filter_free(struct queue_filter **filter);
bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry, double now);
/* Behind the last '@'; "" without one. */
const char *queue_domain(const char *address);

#endif
