/* SPDX-License-Identifier: ISC */
/* The local delivery agent: aliases, then mailboxes, each as its owner. */
#ifndef POSTRIDER_DELIVERY_LOCAL_LOCAL_H
#define POSTRIDER_DELIVERY_LOCAL_LOCAL_H

#include <sys/types.h>

#include "common/config/config.h"
#include "common/proto/delivery_proto.h"

struct local_settings {
	const char *recipient_delimiter, *home_mailbox, *mail_spool_directory, *mailbox_root;
	const char *mail_owner, *mydestination_host;
	uint64_t mailbox_size_limit;
};

/* What became of it; text in the arena or static. */
struct local_outcome {
	enum delivery_outcome outcome;
	const char *dsn;
	const char *text;
};

/* A message and the recipient that it is for now. */
struct local_delivery {
	const struct delivery_job *job;
	const struct message_recipient *recipient;
	struct arena *arena;
	struct slice new_header;
};

/* mailbox.c: in a child process that is the user.  Suspends the task. */
struct local_outcome mailbox_deliver(const struct local_delivery *d, const struct local_settings *settings,
				     struct slice user);

/* content.c: the message as it is stored: LF line ends, our headers first.  False: errno. */
bool content_write(const struct local_delivery *d, int fd, bool mbox);
/* Is this address in a Delivered-To field already? */
bool content_was_delivered_to(const struct local_delivery *d, struct slice address);
/* "Delivered-To: …" and the new header block, CRLF, for a forwarded copy. */
struct slice content_forward_header(const struct local_delivery *d);

/* forward.c: a new message to `addresses`, by cleanup. */
struct local_outcome forward_message(const struct local_delivery *d, struct ipc_client *cleanup,
				     const struct slice *addresses, size_t count);

#endif
