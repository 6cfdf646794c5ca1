/* SPDX-License-Identifier: ISC */
/*
 * Envelope and recipients as bytes: the same form in a queue file and in the packets between
 * processes.  Both decoders read untrusted input.
 */
#ifndef POSTRIDER_COMMON_MAIL_MESSAGE_CODEC_H
#define POSTRIDER_COMMON_MAIL_MESSAGE_CODEC_H

#include "common/base/cursor.h"
#include "common/base/str.h"
#include "common/mail/message_file.h"

#define MESSAGE_TEXT_MAX 16384          /* longest text of an envelope or recipient */

/* All but the recipients.  False when a text is too long (nothing usable is in `out` then). */
bool message_envelope_encode(struct str *out, const struct message_envelope *envelope);
/* Slices point into the cursor's memory, or are copied when `arena` is not NULL. */
bool message_envelope_decode(struct cursor *c, struct arena *arena, struct message_envelope *envelope);

/* Address, original, orcpt and notify; not the status. */
bool message_recipient_encode(struct str *out, const struct message_recipient *recipient);
/* Sets status to pending, offset and attempts to 0. */
bool message_recipient_decode(struct cursor *c, struct arena *arena, struct message_recipient *recipient);
#define MESSAGE_RECIPIENT_MIN 7         /* bytes of the shortest encoded recipient */

void message_put_u16(struct str *out, uint16_t v);
void message_put_u32(struct str *out, uint32_t v);
void message_put_u64(struct str *out, uint64_t v);

#endif
