/* SPDX-License-Identifier: ISC */
/* The words of notices: built in, or from bounce_template_file in the form of bounce(5). */
#ifndef POSTRIDER_BOUNCE_TEMPLATE_H
#define POSTRIDER_BOUNCE_TEMPLATE_H

#include "common/base/str.h"
#include "common/config/config.h"

enum template_kind { TEMPLATE_FAILURE, TEMPLATE_DELAY, TEMPLATE_SUCCESS, TEMPLATE_VERIFY, TEMPLATE_KINDS };

/* Header texts without line ends; the body has CRLF lines, its $names are expanded. */
struct template {
	struct str charset, from, subject, postmaster_subject, body;
};

struct templates {
	struct template of[TEMPLATE_KINDS];
};

/* The built-in ones. */
void templates_default(struct templates *templates, const struct config *config);
/*
 * Takes those that `text` (a whole file) has in place of what is there.  ERR_SYNTAX with the line's number:
 * nothing was changed.
 */
bool templates_parse(struct templates *templates, struct slice text, const struct config *config,
		     struct err *err) MUST_USE;
void templates_free(struct templates *templates);

#endif
