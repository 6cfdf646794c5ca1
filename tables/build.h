/* SPDX-License-Identifier: ISC */
/* Builds tables in files (hash, btree, lmdb, cdb) from their source text. */
#ifndef POSTRIDER_TABLES_BUILD_H
#define POSTRIDER_TABLES_BUILD_H

#include <stdio.h>

#include "tables/db_format.h"

enum build_nul { NUL_BY_FORMAT, NUL_ALWAYS, NUL_NEVER };

struct table_build {
	const struct db_format *format;
	const char *name;        /* without suffix: "/etc/postfix/virtual" */
	bool aliases;            /* "name: value", aliases(5), and not "key value" */
	bool keep_case;          /* keys are not folded to lower case */
	bool replace;            /* of two entries with one key the later counts, and nothing is said */
	bool quiet;              /* the first counts, and nothing is said */
	bool files;              /* values name files: their content, in base64, is the value */
	bool plain_mode;         /* mode 0644, not that of the source */
	bool utf8;               /* lines that are not UTF-8 are left out */
	enum build_nul nul;
};

/*
 * A new file with the entries of `source`, in the place of the old one at once: whoever looks sees the
 * one or the other.  Owner and mode are the old file's, or, when there is none, those of
 * the source.  Lines that are wrong are reported in the log with file and line, and left out.
 */
bool table_build(const struct table_build *build, FILE *source, struct err *err) MUST_USE;
/* Adds the entries to the file that is there (a new one when there is none). */
bool table_build_add(const struct table_build *build, FILE *source, struct err *err) MUST_USE;
/* 1 deleted, 0 not there, -1 error.  The keys of one call: `next` gives them, false at the end. */
int table_build_delete(const struct table_build *build, bool (*next)(void *context, struct slice *key), void *context,
		       struct err *err) MUST_USE;

#endif
