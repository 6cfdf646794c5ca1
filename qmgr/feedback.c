/* SPDX-License-Identifier: ISC */
#include "qmgr/feedback.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/slice.h"

#define SMALL 1e-9

/* Digits with at most one dot among them. */
static bool parse_number(struct slice text, double *value)
{
	double scale = 1;
	bool dot = false, digits = false;

	*value = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '.' && !dot) {
			dot = true;
			continue;
		}
		if (c < '0' || c > '9' || text.len > 15)
			return false;
		digits = true;
		*value = *value * 10 + (c - '0');
		scale *= dot ? 10 : 1;
	}
	*value /= scale;
	return digits;
}

bool feedback_parse(const char *text, struct feedback *f)
{
	struct slice rest = slice_of(text), number;
	double divisor = 1;
	bool divided = slice_find(rest, '/') >= 0;

	slice_cut(&rest, '/', &number);
	rest = slice_trim(rest);
	*f = (struct feedback){ .kind = FEEDBACK_FIXED };
	if (!parse_number(slice_trim(number), &f->base))
		return false;
	if (divided && slice_eq(rest, SLICE("concurrency")))
		f->kind = FEEDBACK_BY_WINDOW;
	else if (divided && slice_eq(rest, SLICE("sqrt_concurrency")))
		f->kind = FEEDBACK_BY_ROOT;
	else if (divided && (!parse_number(rest, &divisor) || divisor <= 0))
		return false;
	f->base /= divisor;
	return f->base <= 1;
}

static double feedback_value(const struct feedback *f, double window)
{
	return f->kind == FEEDBACK_BY_WINDOW ? f->base / window : f->kind == FEEDBACK_BY_ROOT ? f->base / sqrt(window) : f->base;
}

void window_start(struct window *w, const struct window_limits *limits)
{
	*w = (struct window){ .size = (double)limits->initial };
}

void window_success(struct window *w, const struct window_limits *limits, size_t running)
{
	w->cohorts = 0;
	w->failure = 0;
	if (w->size < (double)limits->initial)
		w->size = (double)limits->initial;
	/* A window that is not used says nothing about the site. */
	if ((limits->limit > 0 && w->size >= (double)limits->limit) || w->size >= (double)running + (double)limits->initial)
		return;
	w->success += feedback_value(&limits->positive, w->size);
	if (w->success + SMALL < 1)
		return;
	w->success = 0;
	w->size += 1;
}

bool window_failure(struct window *w, const struct window_limits *limits)
{
	w->cohorts += 1 / w->size;
	if (limits->failed_cohorts > 0 && w->cohorts + SMALL >= limits->failed_cohorts) {
		window_start(w, limits);
		return true;
	}
	w->failure += feedback_value(&limits->negative, w->size);
	if (w->failure + SMALL >= 1) {
		w->failure = w->success = 0;
		if (w->size > 1)
			w->size -= 1;
	}
	return false;
}
