/* SPDX-License-Identifier: ISC */
/* The domains that a message claims to be from: its From field, read strictly. */
#ifndef POSTRIDER_AUTHN_AUTHOR_H
#define POSTRIDER_AUTHN_AUTHOR_H

#include "authn/canon.h"

#define AUTHOR_DOMAINS_MAX 8

struct author {
	struct slice domain[AUTHOR_DOMAINS_MAX]; /* each once, as in DNS */
	size_t count;
	struct slice address; /* the first one */
	const char *fault;    /* NULL: the field is sound; else why it is none to rely on */
};

/* One From field with one or more addresses, each with a host name.  Domain literals are a fault.
 */
void author_read(const struct canon_header *header, struct arena *arena, struct author *author);

#endif
