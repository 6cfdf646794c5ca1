/* SPDX-License-Identifier: ISC */
/* What the files of the engine share. */
#ifndef POSTRIDER_SMTPD_SESSION_H
#define POSTRIDER_SMTPD_SESSION_H

#include "common/tls/info.h"
#include "smtpd/data_scan.h"
#include "smtpd/login_limits.h"
#include "smtpd/smtpd.h"

enum verb {
	/* In the order of Postfix's disconnect line. */
	VERB_HELO, VERB_EHLO, VERB_STARTTLS, VERB_AUTH, VERB_MAIL, VERB_RCPT, VERB_DATA, VERB_BDAT, VERB_RSET, VERB_NOOP, VERB_VRFY,
	VERB_HELP, VERB_QUIT, VERB_UNKNOWN, VERB_COUNT
};

/* One mail transaction (RFC 5321 §3.3): made by MAIL, freed in transaction_free, whatever ends it. */
struct transaction {
	struct arena *arena;
	struct message_envelope envelope;
	size_t capacity;                   /* of envelope.recipients */
	struct smtpd_file *file;           /* NULL until the first recipient is accepted */
	uint64_t announced_size;
	long overshoot;                    /* recipients beyond the limit */
	struct data_scan scan;
	struct str out;                    /* stored bytes on their way to the file */
	uint64_t written;
	bool bdat;                         /* in a sequence of BDAT */
	struct smtpd_reply failure;        /* what the end of data will be answered with */
};

struct session {
	struct stream *stream;
	const struct smtpd_settings *settings;
	const struct smtpd_ops *ops;
	const struct smtpd_client *client;
	struct tls_info *tls;              /* NULL: not encrypted */
	struct auth_state login;
	struct auth_dialogue dialogue;     /* an AUTH under way */
	struct str helo;
	bool esmtp;                        /* EHLO was the last greeting */
	struct transaction *transaction;   /* NULL outside MAIL … end of data */
	bool bdat_failed;                  /* chunks are thrown away until LAST or RSET */
	long errors, junk;                 /* since the last message that was taken */
	bool failed;                       /* the present command was answered 4xx or 5xx */
	bool quit;                         /* the session is over */
	enum stream_status status;         /* how the stream ended inside a command */
	unsigned total[VERB_COUNT], good[VERB_COUNT];
	const char *where;                 /* for "lost connection after …" */
};

/* Answers: one line; counts 4xx and 5xx as errors. */
void reply(struct session *s, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void reply_with(struct session *s, const struct smtpd_reply *r);
void reply_set(struct smtpd_reply *r, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void transaction_free(struct session *s);
void log_reject(struct session *s, const char *stage, const struct smtpd_reply *r, struct slice recipient);
/* A warning on an address that does not parse. */
void log_bad_address(const struct session *s, struct slice text);
/* The queue ID, or NOQUEUE. */
const char *session_queue_id(const struct session *s);
const char *protocol_name(const struct session *s);

/* Commands; `args` is what stands behind the verb, trimmed. */
void command_mail(struct session *s, struct slice args);
void command_rcpt(struct session *s, struct slice args);
void command_data(struct session *s, struct slice args);
void command_bdat(struct session *s, struct slice args);
void command_starttls(struct session *s, struct slice args);
void command_auth(struct session *s, struct slice args);

/* The handshake; false: the session is over. */
bool session_start_tls(struct session *s) MUST_USE;
/* EHLO's lines about AUTH. */
void session_announce_auth(struct session *s, struct str *out);
/* What Received will say of the encryption. */
void session_describe_tls(const struct session *s, struct arena *arena, struct message_envelope *envelope);
/* Limits a login: false, and the client has been told. */
bool session_count_message(struct session *s) MUST_USE;
bool session_count_recipient(struct session *s) MUST_USE;

#endif
