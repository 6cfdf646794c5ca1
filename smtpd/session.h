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
	VERB_ETRN, VERB_HELP, VERB_XCLIENT, VERB_XFORWARD, VERB_QUIT, VERB_UNKNOWN, VERB_COUNT
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
	const struct mailauth_answer *authentication; /* at the end of data; NULL: not checked */
	struct smtp_reply failure;         /* what the end of data will be answered with */
	struct policy_memory policy;
	const char *instance;              /* for policy services */
};

struct session {
	struct stream *stream;
	const struct smtpd_settings *settings;
	const struct smtpd_ops *ops;
	const struct policy_client *client; /* as XCLIENT says, or the peer itself */
	const struct policy_client *peer;
	struct tls_info *tls;              /* NULL: not encrypted */
	struct auth_state login;
	struct auth_dialogue dialogue;     /* an AUTH under way */
	struct str helo;
	bool esmtp;                        /* EHLO was the last greeting */
	struct policy_memory policy;       /* of before MAIL */
	struct policy_memory at_connect;   /* what the client restrictions left; each EHLO begins from it */
	struct arena *connect_arena, *helo_arena; /* of both, and of what EHLO added; NULL: not needed yet */
	struct proxied *proxied;           /* what XCLIENT and XFORWARD said; NULL: nothing */
	struct transaction *transaction;   /* NULL outside MAIL … end of data */
	bool bdat_failed;                  /* chunks are thrown away until LAST or RSET */
	long errors, junk;                 /* since the last message that was taken */
	bool failed;                       /* the present command was answered 4xx or 5xx */
	bool spoke_early;                  /* something came before its turn, and was let pass */
	bool quit;                         /* the session is over */
	bool denied;                       /* the client was refused when it came (smtpd_delay_reject = no) */
	enum stream_status status;         /* how the stream ended inside a command */
	unsigned total[VERB_COUNT], good[VERB_COUNT];
	const char *where;                 /* for "lost connection after …" */
};

/* Answers: one line; counts 4xx and 5xx as errors. */
void reply(struct session *s, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void reply_with(struct session *s, const struct smtp_reply *r);
void transaction_free(struct session *s);
void log_reject(struct session *s, const char *stage, const struct smtp_reply *r, struct slice recipient);
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
void command_etrn(struct session *s, struct slice args);

void command_xclient(struct session *s, struct slice args);
void command_xforward(struct session *s, struct slice args);
/* DELIVERBY and XVERP: EHLO's lines. */
void session_announce_extensions(struct session *s, struct str *out);
/* A parameter of MAIL.  False: none of theirs; *problem: what is wrong with it, or NULL. */
bool session_take_extension(struct session *s, struct transaction *t, struct slice name, struct slice value,
			    const char **problem);

/* EHLO's lines about the two. */
void session_announce_proxied(struct session *s, struct str *out);
/* May the client say for whom it speaks?  It is no client itself then. */
bool session_is_proxy(const struct session *s);
/* ", orig_queue_id=…, orig_client=…" for the log when XFORWARD has said it. */
void session_describe_origin(const struct session *s, struct str *out);
void session_proxied_free(struct session *s);

/* Asks the restrictions of a stage.  False: refused, and the client has been told. */
bool session_ask(struct session *s, enum policy_stage stage, struct slice recipient) MUST_USE;
/* The same, and the answer is *refusal. */
bool session_ask_quietly(struct session *s, enum policy_stage stage, struct slice recipient,
			 struct smtp_reply *refusal) MUST_USE;
/* At the end of data: SPF, DKIM, DMARC.  False: refused, and the client has been told. */
bool session_authenticate(struct session *s) MUST_USE;
/* What restrictions do to the message: into the envelope. */
/* What an earlier EHLO left. */
void session_forget_helo(struct session *s);
void session_take_effects(struct session *s, struct transaction *t);
/* What smtpd_reject_footer adds to a reply: lines with LF between them.  False: nothing. */
bool session_footer(const struct session *s, const struct smtp_reply *r, const char *text, struct str *footer);
/* Counts; false: too many, and the client has been told. */
bool session_count(struct session *s, enum smtpd_event event) MUST_USE;
void session_fill_facts(const struct session *s, struct policy_facts *facts);
/* Another recipient of the message. */
void transaction_add_recipient(struct transaction *t, const struct message_recipient *r);

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
