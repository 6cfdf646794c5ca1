/* SPDX-License-Identifier: ISC */
/* Tag lists "a=1; b=2" of DKIM, ARC (RFC 6376 §3.2) and DMARC (RFC 7489 §6.4). */
#ifndef POSTRIDER_AUTHN_TAGS_H
#define POSTRIDER_AUTHN_TAGS_H

#include "common/base/err.h"
#include "common/base/str.h"

#define TAGS_MAX 32

struct tag {
	struct slice name;
	struct slice value; /* without white space around it */
	struct slice raw;   /* all between '=' and ';' */
};

struct tags {
	struct tag tag[TAGS_MAX];
	size_t count;
};

/* Slices point into `text`.  False with ERR_SYNTAX: no list, a tag twice, more than TAGS_MAX. */
bool tags_parse(struct slice text, struct tags *tags, struct err *err) MUST_USE;
/* The value; an empty slice with ptr NULL when there is no such tag. */
struct slice tags_get(const struct tags *tags, const char *name);
const struct tag *tags_find(const struct tags *tags, const char *name);
/* Is `word` in a list with `separator`, white space around the words?  Without case. */
bool tags_list_has(struct slice list, char separator, const char *word);
/* Appends the bytes of base64 that may be folded.  False: something else is in it. */
bool tags_base64(struct slice text, struct str *out) MUST_USE;
/* Appends the text without white space. */
void tags_squeeze(struct slice text, struct str *out);

#endif
