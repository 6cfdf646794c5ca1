/* SPDX-License-Identifier: ISC */
/*
 * Logical lines, the form that the sources of all tables have: empty lines and lines whose first
 * character (white space aside) is '#' do not count; a line that starts with white space goes on
 * with the one before.
 */
#ifndef POSTRIDER_TABLES_LINES_H
#define POSTRIDER_TABLES_LINES_H

#include <stdio.h>

#include "common/base/str.h"

struct line_reader {
	FILE *file;              /* the text comes from here, or, when NULL, */
	struct slice rest;       /* from here */
	int line;                /* where the logical line that was read begins */
	bool indented;           /* it begins with white space: nothing was there to go on with */
	bool failed;             /* reading broke off: errno says why */
	/* private */
	int at;
	char *next;
	size_t next_size;
	struct slice pending;
	bool has_pending;
	struct str text;
};

struct line_reader line_reader_of_file(FILE *file);
struct line_reader line_reader_of_text(struct slice text);
/* The next logical line without its line breaks and without white space at its end; valid until the next call. */
bool line_reader_next(struct line_reader *reader, struct slice *line);
void line_reader_end(struct line_reader *reader);        /* frees; the file stays open */

/*
 * Cuts the key off a line "key value".  White space inside double quotes is part of it, and a
 * backslash there takes the next character along; quotes and backslashes stay (tables are asked for
 * addresses in that form).  False: a quote is not closed.
 */
bool line_take_key(struct slice *line, struct slice *key);

#endif
