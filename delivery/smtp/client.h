/* SPDX-License-Identifier: ISC */
/*
 * The SMTP and LMTP client: one delivery to one session.  Knows a stream and
 * a delivery, no process.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_CLIENT_H
#define POSTRIDER_DELIVERY_SMTP_CLIENT_H

#include "common/proto/delivery_proto.h"
#include "delivery/smtp/content.h"
#include "delivery/smtp/session.h"

/* What is known of one recipient. */
struct smtp_recipient {
	const struct message_recipient *recipient;
	struct slice wire;         /* its address as the server hears it */
	bool decided;              /* outcome stands; else `failure` may hold what the last server said */
	bool accepted;             /* by the present server's RCPT reply */
	bool tried;                /* failure is set */
	enum delivery_outcome outcome;
	struct smtp_failure failure; /* for SENT: dsn, text and relay */
	enum delivery_action action;
};

struct smtp_delivery {
	const struct delivery_job *job;
	const struct smtp_settings *settings;
	struct arena *arena;
	struct slice sender;       /* as the server hears it */
	struct content content;
	struct smtp_recipient *recipient;
	size_t count;
	size_t undecided;
	/* Called once a recipient, as soon as it is decided; may be NULL. */
	void (*on_decided)(struct smtp_delivery *delivery, size_t index);
	void *context;
	struct smtp_session *session; /* the present one, or NULL */
	struct smtp_failure last;     /* why the last server could not be used at all */
	bool failed_session;          /* `last` is set */
	double started, connected;    /* for delays= */
};

void smtp_decide(struct smtp_delivery *delivery, size_t index, enum delivery_outcome outcome,
		 const struct smtp_failure *failure);
/* All that are not decided yet. */
void smtp_decide_all(struct smtp_delivery *delivery, enum delivery_outcome outcome, const struct smtp_failure *failure);

/*
 * Sends the message to the recipients that are not decided yet.  Accepted and
 * permanently refused ones are decided; those that failed for now are left with their failure, for another
 * server or for smtp_decide by the caller.  `session->broken` tells whether it can be used again.
 */
void smtp_transaction(struct smtp_delivery *delivery, struct smtp_session *session);

#endif
