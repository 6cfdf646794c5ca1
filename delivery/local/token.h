/* SPDX-License-Identifier: ISC */
/* Destinations in an alias, an :include: file or a .forward file: aliases(5). */
#ifndef POSTRIDER_DELIVERY_LOCAL_TOKEN_H
#define POSTRIDER_DELIVERY_LOCAL_TOKEN_H

#include "common/base/arena.h"
#include "common/base/slice.h"

enum token_type { TOKEN_ADDRESSES, TOKEN_COMMAND, TOKEN_FILE, TOKEN_INCLUDE };

struct token {
	enum token_type type;
	struct slice text;    /* addresses as they stand in a header; the command without '|'; a path */
};

/*
 * Takes the next destination off *rest; false when there is none.  Commas and ends of lines separate; a command
 * goes to the comma, a path to white space, and quotes keep either together: |"cmd a, b" and "|cmd a, b".
 * A line that starts with '#' is passed over.
 */
bool token_next(struct slice *rest, struct arena *arena, struct token *token);

#endif
