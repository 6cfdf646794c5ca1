/* SPDX-License-Identifier: ISC */
/*
 * The standard form of an address: what trivial-rewrite(8) makes of incomplete addresses and
 * of the routing operators of old (site!user, user%site).  Pure: no tables.
 */
#ifndef POSTRIDER_ROUTING_FORM_H
#define POSTRIDER_ROUTING_FORM_H

#include "common/base/arena.h"
#include "common/config/config.h"

struct form_style {
	struct slice origin;       /* behind addresses without '@'; empty: nothing */
	struct slice domain;       /* behind domains without '.'; empty: nothing */
	bool percent, bang;        /* allow_percent_hack, swap_bangpath */
};

/* Of mail from here: $myorigin and $mydomain. */
void form_style_local(struct form_style *style, const struct config *config);
/* Of header addresses in others' mail: remote_header_rewrite_domain. */
void form_style_remote(struct form_style *style, const struct config *config);

/*
 * Internal form in and out; the result may be `address` itself.  `literal`: the local part is
 * text, also where it looks like a route (it was quoted).  The empty address stays what it is.
 */
struct slice form_address(const struct form_style *style, struct slice address, bool literal, struct arena *arena);
/* Do the local part's characters need quotes?  Then it is text for form_address, too. */
bool form_is_text(struct slice local);
/* Does it hold '@', or an operator that the style knows? */
bool form_is_route(const struct form_style *style, struct slice local);

#endif
