/* SPDX-License-Identifier: ISC */
/* DKIM signatures of our own users' mail, made over what will leave: after all rewriting. */
#ifndef POSTRIDER_CLEANUP_SIGN_H
#define POSTRIDER_CLEANUP_SIGN_H

#include "cleanup/headers.h"
#include "common/net/ipc.h"

struct sign_settings {
	struct ipc_client *signer; /* NULL: nothing is signed */
	struct slice headers, oversigned;
	double expire; /* seconds; 0: signatures do not expire */
	double timeout;
};

/*
 * Puts signatures in front of header->block, when the message is ours to sign and a key is there
 * for its author.  `fd`: the queue file.  Suspends the task.  False: signer does not answer, or the
 * file cannot be read.
 */
bool sign_message(const struct sign_settings *settings, const struct message_envelope *envelope,
		  const struct message_content *content, int fd,
		  struct headers_result *header) MUST_USE;

#endif
