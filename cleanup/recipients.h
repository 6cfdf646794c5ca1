/* SPDX-License-Identifier: ISC */
/* Whom a message goes to in the end: addresses rewritten, aliases expanded, copies, duplicates removed. */
#ifndef POSTRIDER_CLEANUP_RECIPIENTS_H
#define POSTRIDER_CLEANUP_RECIPIENTS_H

#include "common/proto/cleanup_proto.h"
#include "routing/rewrite.h"

struct recipients_settings {
	struct rewriter *rewriter;
	const char *always_bcc;
	bool keep_original;         /* enable_original_recipient */
	bool form_only;             /* receive_override_options = no_address_mappings */
};

/*
 * Changes sender and recipients of the envelope; suspends the task.  False: *refusal says why the
 * message is not taken (451: a table did not answer, an alias has no end).
 */
bool recipients_rewrite(const struct recipients_settings *settings, const char *queue_id, struct arena *arena,
			struct message_envelope *envelope, struct cleanup_refusal *refusal) MUST_USE;

#endif
