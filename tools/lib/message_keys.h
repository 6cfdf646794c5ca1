/* SPDX-License-Identifier: ISC */
/* The lines of a message as keys, as header_checks(5) and body_checks(5) have them: postmap -h, -b and -m. */
#ifndef POSTRIDER_TOOLS_LIB_MESSAGE_KEYS_H
#define POSTRIDER_TOOLS_LIB_MESSAGE_KEYS_H

#include <stdio.h>

#include "common/base/slice.h"

struct message_keys {
	bool headers;            /* a header with the lines that it goes on in is a key */
	bool body;               /* a line is a key */
	bool mime;               /* headers of attachments and of attached messages are headers, not body */
	void (*on_key)(struct slice key, void *context);
	void *context;
};

/* Reads a message to its end; false: reading failed (errno). */
bool message_keys_read(const struct message_keys *keys, FILE *file);

#endif
