/* SPDX-License-Identifier: ISC */
/*
 * Tables of patterns (regexp, pcre, cidr): a file of rules that are tried in order.
 *
 *	pattern result		!pattern result		if pattern … endif	if !pattern … endif
 *
 * The type says what a pattern looks like.  A rule that is wrong is reported in the log with file and line, and left out,
 * as Postfix does; an `if` that is wrong is left out with all that stands in it.
 */
#ifndef POSTRIDER_TABLES_PATTERN_FILE_H
#define POSTRIDER_TABLES_PATTERN_FILE_H

#include "tables/network.h"
#include "tables/replacement.h"
#include "tables/table_types.h"

struct pattern_text {
	struct slice pattern, flags;
};

/* A key that is put to the rules, and what a pattern made of it. */
struct pattern_match {
	struct slice key;        /* terminated */
	struct network address;  /* the key, for cidr */
	double budget;           /* steps that are left for this key, for pcre */
	unsigned wanted;         /* how many groups are asked for; 0: just whether it matches */
	struct slice groups[REPLACEMENT_GROUPS];
};

enum pattern_outcome {
	PATTERN_NO,
	PATTERN_YES,
	PATTERN_FOREIGN,         /* another kind of key (IPv6 and a network of IPv4): "!pattern" does not match either */
	PATTERN_FAILED           /* could not be tried to the end: *err says why */
};

struct pattern_kind {
	const char *name;        /* "regexp", for messages */
	bool substitutes;        /* results have $1 …, and may be empty */
	/* Takes a pattern off the front of *text. */
	bool (*cut)(struct slice *text, struct pattern_text *out, struct err *err);
	/* `wanted` groups will be asked for; *groups: how many it has.  NULL: *err says why not. */
	void *(*compile)(const struct pattern_text *text, unsigned wanted, unsigned *groups, struct err *err);
	void (*free)(void *compiled);
	/* Once a key.  NULL: nothing to do; false: no rule can match such a key. */
	bool (*prepare)(struct pattern_match *match);
	enum pattern_outcome (*match)(const void *compiled, struct pattern_match *match, struct err *err);
};

struct pattern_file;
/* Reads the file and stays aware of its changes.  NULL: it cannot be read. */
struct pattern_file *pattern_file_open(const struct pattern_kind *kind, const char *path, struct err *err) MUST_USE;
/* The same from text; `path` is for messages. */
struct pattern_file *pattern_file_read(const struct pattern_kind *kind, const char *path, struct slice text) MUST_USE;
unsigned pattern_file_problems(const struct pattern_file *file);  /* how many warnings it gave rise to */

/* For struct table_type. */
void pattern_file_close(void *file);
enum table_result pattern_file_lookup(void *file, struct slice key, struct arena *arena, struct slice *value,
				      struct err *err) MUST_USE;
bool pattern_file_changed(void *file);

/*
 * Cuts "/pattern/flags" (any delimiter that is neither a letter, a digit nor white space) off the front;
 * a backslash keeps a delimiter in the pattern.  Shared by regexp and pcre.
 */
bool pattern_cut_delimited(struct slice *text, struct pattern_text *out, struct err *err) MUST_USE;

#endif
