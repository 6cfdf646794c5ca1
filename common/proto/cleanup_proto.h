/* SPDX-License-Identifier: ISC */
/*
 * Submitting a message to cleanup: who speaks it: smtpd, pickup, bounce, local, (verify).
 *
 *   client                           cleanup
 *   OPEN                      ──►
 *                             ◄──    OPENED queue id + descriptor (or REFUSED)
 *   (writes content with CRLF lines, undotted, to the descriptor at MESSAGE_CONTENT_OFFSET)
 *   RECIPIENT × n             ──►    (no answer; several packets, many recipients in each)
 *   COMMIT envelope           ──►
 *                             ◄──    COMMITTED (durable; qmgr has been told) or REFUSED
 *   or ABORT                  ──►    (no answer)
 */
#ifndef POSTRIDER_COMMON_PROTO_CLEANUP_PROTO_H
#define POSTRIDER_COMMON_PROTO_CLEANUP_PROTO_H

#include "common/base/arena.h"
#include "common/mail/message_file.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol cleanup_protocol;     /* "cleanup", 1 */

enum cleanup_type {
	CLEANUP_OPEN = 1, CLEANUP_OPENED, CLEANUP_RECIPIENTS, CLEANUP_COMMIT,
	CLEANUP_COMMITTED, CLEANUP_REFUSED, CLEANUP_ABORT
};

/* A message being submitted: the client's side. */
struct cleanup_session {
	struct ipc_client *client;
	char queue_id[MESSAGE_ID_SIZE];
	int fd;                        /* -1 when none */
	uint32_t stage;
};

struct cleanup_refusal {               /* cleanup's answer when it does not take the message */
	int code;                      /* SMTP reply code: 4xx or 5xx */
	char dsn[16];                  /* "4.3.0" */
	char text[200];
};

/* Each suspends the task; false fills *refusal (451 4.3.0 when cleanup is away). */
bool cleanup_open(struct cleanup_session *session, struct ipc_client *client, double deadline,
		  struct cleanup_refusal *refusal) MUST_USE;
/*
 * Hands over the envelope and waits till it is durable.  The session is closed
 * whatever the result.  `content_length` bytes were written.
 */
bool cleanup_commit(struct cleanup_session *session, const struct message_envelope *envelope,
		    const struct message_content *content, double deadline,
		    struct cleanup_refusal *refusal) MUST_USE;
/* Gives the file up; harmless when there is none. */
void cleanup_abort(struct cleanup_session *session);

#endif
