/* SPDX-License-Identifier: ISC */
/* What a pattern table answers: text with $1 ${1} $(1) for what a group matched, and $$ for '$'. */
#ifndef POSTRIDER_TABLES_REPLACEMENT_H
#define POSTRIDER_TABLES_REPLACEMENT_H

#include "common/base/arena.h"
#include "common/base/err.h"

struct replacement_part;
struct replacement {
	struct replacement_part *first;
	unsigned groups;         /* the highest number in it; 0: none */
};

#define REPLACEMENT_GROUPS 99    /* the highest number there may be */
#define REPLACEMENT_MAX    ((size_t)1 << 20)   /* bytes that the text may come to */

/* The text is copied.  False with ERR_SYNTAX: a '$' with anything else behind it. */
bool replacement_parse(struct slice text, struct arena *arena, struct replacement *out, struct err *err) MUST_USE;
/* The text as it stands. */
void replacement_of_text(struct slice text, struct arena *arena, struct replacement *out);
/* groups[0] is the text of group 1 … at least `groups` of them.  False with ERR_LIMIT: the text would be too long. */
bool replacement_expand(const struct replacement *r, const struct slice *groups, struct arena *arena,
			struct slice *out, struct err *err) MUST_USE;

#endif
