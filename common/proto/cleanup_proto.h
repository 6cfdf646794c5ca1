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

enum cleanup_field {
	CLEANUP_FIELD_COUNT = 1,       /* OPEN: files wanted, 1 to IPC_FDS */
	CLEANUP_FIELD_ID,              /* OPENED: one for each descriptor, in order; others: the message */
	CLEANUP_FIELD_RECIPIENT,       /* RECIPIENTS, COMMIT: repeated; message_codec.h's form */
	CLEANUP_FIELD_ENVELOPE,        /* COMMIT: message_codec.h's form */
	CLEANUP_FIELD_LENGTH, CLEANUP_FIELD_HEADER_LENGTH, CLEANUP_FIELD_LONGEST_LINE,
	CLEANUP_FIELD_DOTS, CLEANUP_FIELD_EIGHT_BIT,   /* COMMIT: of the content */
	CLEANUP_FIELD_CODE, CLEANUP_FIELD_DSN, CLEANUP_FIELD_TEXT /* REFUSED */
};

/*
 * The stub keeps a few files open ahead for each client, so that cleanup_open
 * seldom waits: an OPEN or OPENED packet with request 0 fills that stock.  It
 * takes the client's on_event and on_lost for this.
 */

/* A message being submitted: the client's side. */
struct cleanup_session {
	struct ipc_client *client;
	struct ipc_link *link;         /* to the process that has the file; NULL when none */
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
/* Closes the files that are open ahead: before ipc_client_free. */
void cleanup_forget(struct ipc_client *client);

/* The server's side: decoders of what clients send; ERR_SYNTAX on anything out of form. */
bool cleanup_get_commit(const struct ipc_in *m, struct arena *arena, struct message_envelope *envelope,
			struct message_content *content, struct err *err) MUST_USE;
/* 1: a recipient, 0: no more, -1: malformed.  *pos starts at 0. */
int cleanup_get_recipient(const struct ipc_in *m, size_t *pos, struct arena *arena,
			  struct message_recipient *recipient) MUST_USE;
bool cleanup_put_refused(struct ipc_out *m, uint32_t request, const struct cleanup_refusal *refusal);
void cleanup_refuse(struct cleanup_refusal *refusal, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
