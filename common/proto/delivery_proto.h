/* SPDX-License-Identifier: ISC */
/*
 * qmgr and delivery agents.  qmgr connects (through master) to the transport's
 * service; the agent says how much it takes at a time, qmgr sends jobs:
 *
 *   agent                            qmgr
 *   READY slots               ──►
 *                             ◄──    JOB queue id, nexthop, recipients … + read-only descriptor
 *   RESULT a recipient        ──►    (one RESULT packet may hold many recipients)
 *   DONE                      ──►    (all recipients answered; the slot is free; says whether a
 *                                     connection to nexthop stays open)
 *
 * An agent that dies with jobs open: qmgr defers their unanswered recipients.  qmgr trusts
 * no index or status that an agent sends beyond the job's own recipients.
 */
#ifndef POSTRIDER_COMMON_PROTO_DELIVERY_PROTO_H
#define POSTRIDER_COMMON_PROTO_DELIVERY_PROTO_H

#include "common/mail/message_file.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol delivery_protocol;    /* "delivery", 1 */

enum delivery_type { DELIVERY_READY = 1, DELIVERY_JOB, DELIVERY_RESULT, DELIVERY_DONE };

enum delivery_field {
	DELIVERY_FIELD_SLOTS = 1,                              /* READY */
	DELIVERY_FIELD_ID, DELIVERY_FIELD_NEXTHOP, DELIVERY_FIELD_LAYOUT, DELIVERY_FIELD_ENVELOPE,
	DELIVERY_FIELD_QUEUED, DELIVERY_FIELD_PROBE,
	DELIVERY_FIELD_RECIPIENT,                              /* JOB; the last repeated */
	DELIVERY_FIELD_INDEX, DELIVERY_FIELD_OUTCOME, DELIVERY_FIELD_DSN, DELIVERY_FIELD_RELAY,
	DELIVERY_FIELD_TEXT, DELIVERY_FIELD_REMOTE,            /* RESULT */
	DELIVERY_FIELD_KEPT, DELIVERY_FIELD_DEAD,              /* DONE */
	DELIVERY_FIELD_ACTION = 32                             /* RESULT; missing: 0 */
};

struct delivery_job {
	uint32_t id;                   /* the packet's request number */
	struct slice queue_id;
	struct slice nexthop;          /* "example.com", "[10.0.0.1]:2525", "unix:path" */
	int fd;                        /* the message file, read only; agent closes */
	struct message_layout layout;
	struct message_envelope envelope;  /* recipients: this job's only, at most as many as fit a packet */
	const uint32_t *index;         /* each recipient's index in the message */
	double queued;                 /* when it became active, for delays= */
	bool probe;                    /* of verify: find out whether it could be delivered, and deliver nothing */
};

enum delivery_outcome { DELIVERY_SENT = 1, DELIVERY_DEFERRED, DELIVERY_BOUNCED };

/* Of what was sent, who tells the sender when he wants to know (RFC 3461 section 5.2)? */
enum delivery_action {
	ACTION_DELIVERED,              /* we: it is in the mailbox */
	ACTION_RELAYED,                /* we: the next server does not know of notices */
	ACTION_EXPANDED,               /* we: there are several other recipients now */
	ACTION_PASSED,                 /* the next server */
	ACTION_TRACED                  /* we, asked or not: relayed, with a deadline that may get lost (RFC 2852) */
};

struct delivery_result {
	uint32_t index;                /* of the recipient in the message */
	enum delivery_outcome outcome;
	struct slice dsn;              /* "2.0.0" */
	struct slice relay;
	struct slice text;             /* what the log shows in parentheses */
	struct slice remote;           /* remote server's reply, or empty */
	enum delivery_action action;   /* of DELIVERY_SENT */
};

/* Encoders; false when it does not fit in a packet. */
bool delivery_put_ready(struct ipc_out *m, uint32_t slots);
/* Takes as many of the job's recipients as fit, from *next on; moves *next. */
bool delivery_put_job(struct ipc_out *m, const struct delivery_job *job, size_t *next);
bool delivery_put_result(struct ipc_out *m, uint32_t job, const struct delivery_result *result);
bool delivery_put_done(struct ipc_out *m, uint32_t job, bool connection_kept, bool destination_dead);
/* Decoders; ERR_SYNTAX on anything out of form. */
bool delivery_get_ready(const struct ipc_in *m, uint32_t *slots, struct err *err) MUST_USE;
bool delivery_get_job(struct ipc_in *m, struct arena *arena, struct delivery_job *job, struct err *err) MUST_USE;
bool delivery_get_result(const struct ipc_in *m, struct delivery_result *result, struct err *err) MUST_USE;
bool delivery_get_done(const struct ipc_in *m, bool *connection_kept, bool *destination_dead, struct err *err) MUST_USE;

#endif
