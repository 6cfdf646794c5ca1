/* SPDX-License-Identifier: ISC */
/* The raw form of main.cf: names and unexpanded values, in order; and the expansion of $names. */
#ifndef POSTRIDER_COMMON_CONFIG_MAIN_CF_H
#define POSTRIDER_COMMON_CONFIG_MAIN_CF_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"

struct main_cf_line {
	struct main_cf_line *next;
	struct slice name, value; /* value: white space trimmed, continuation lines joined */
	int line;
};

/* Logical lines of `text`; `path` is for messages.  NULL with an error, or when there is none (err->code ERR_NONE). */
bool main_cf_parse(struct slice text, const char *path, struct arena *arena, struct main_cf_line **lines,
		   struct err *err) MUST_USE;

/*
 * Joins physical lines as main.cf and master.cf do: takes the next logical
 * line off *text into *out (comments and empty lines skipped); *line is the number of its
 * first physical line, counted on from *counter.  False at the end.
 */
bool main_cf_logical_line(struct slice *text, struct str *out, int *line, int *counter);

/* Gives the value of a name, NULL when there is none. */
typedef const char *main_cf_lookup(void *context, struct slice name);
/* Expands one level: values that `lookup` returns are used as they are.  ERR_SYNTAX on bad forms. */
bool main_cf_expand(struct slice value, main_cf_lookup *lookup, void *context, struct str *out,
		    struct err *err) MUST_USE;

#endif
