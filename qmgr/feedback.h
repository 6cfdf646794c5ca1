/* SPDX-License-Identifier: ISC */
/*
 * How many deliveries to a site go side by side: opened by success, closed by failure to reach it, as Postfix's
 * SCHEDULER_README describes.  Feedback below 1 moves the window after several results (hysteresis).
 */
#ifndef POSTRIDER_QMGR_FEEDBACK_H
#define POSTRIDER_QMGR_FEEDBACK_H

#include <stdbool.h>
#include <stddef.h>

enum feedback_kind { FEEDBACK_FIXED, FEEDBACK_BY_WINDOW, FEEDBACK_BY_ROOT };

struct feedback {
	enum feedback_kind kind;
	double base;
};

struct window_limits {
	long initial, limit;               /* limit 0: none */
	struct feedback positive, negative;
	double failed_cohorts;             /* pseudo-cohorts of failures that make a site dead; 0: never */
};

struct window {
	double size;
	double success, failure;           /* not yet turned into a step */
	double cohorts;
};

/* "1", "0.5", "1/concurrency", "2 / sqrt_concurrency".  False: malformed, or not from 0 to 1. */
bool feedback_parse(const char *text, struct feedback *feedback);
void window_start(struct window *w, const struct window_limits *limits);
/* `running`: with the delivery that has just ended. */
void window_success(struct window *w, const struct window_limits *limits, size_t running);
/* True: the site is dead; the window has started anew. */
bool window_failure(struct window *w, const struct window_limits *limits);

#endif
