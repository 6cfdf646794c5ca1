/* SPDX-License-Identifier: ISC */
/* XFORWARD: a content filter is told from whom the mail came to us, so that its log and what comes back say so. */
#ifndef POSTRIDER_DELIVERY_SMTP_FORWARD_H
#define POSTRIDER_DELIVERY_SMTP_FORWARD_H

#include "delivery/smtp/client.h"

#define SMTP_FORWARD_MAX 2

/* The commands (with CRLF, in the arena) for the attributes that the server offers; their number. */
size_t smtp_forward_commands(const struct smtp_delivery *delivery, unsigned features, struct slice command[SMTP_FORWARD_MAX]);
/* RFC 3461, section 4. */
void smtp_put_xtext(struct str *out, struct slice text);

#endif
