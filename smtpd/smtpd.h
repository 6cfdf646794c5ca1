/* SPDX-License-Identifier: ISC */
/*
 * The SMTP server (RFC 5321 and extensions) as an engine: a stream, settings
 * and a table of operations in; no process, no globals.  main.c gives it a socket and the
 * real cleanup; tests give it a socket pair.
 */
#ifndef POSTRIDER_SMTPD_SMTPD_H
#define POSTRIDER_SMTPD_SMTPD_H

#include "common/base/arena.h"
#include "common/mail/message_file.h"
#include "common/net/stream.h"
#include "policy/policy.h"
#include "smtpd/auth.h"
#include "smtpd/authentication.h"
#include "tables/table.h"

enum bare_lf { BARE_LF_ALLOW, BARE_LF_NORMALIZE, BARE_LF_REJECT };

struct tls_server;

/* How sessions are encrypted. */
struct smtpd_tls {
	struct tls_server *server;
	bool required;                     /* smtpd_tls_security_level = encrypt */
	bool wrapper;                      /* TLS from the first byte on */
	bool received_header, asks, requires_certificate;
	long loglevel;
	double timeout;                    /* of a handshake */
};

/* How users log in. */
struct smtpd_auth {
	struct auth_settings settings;
	struct ipc_client *client;         /* of auth */
	struct match_list *exceptions;     /* clients that are not offered it */
	struct match_list *filter;         /* mechanisms; NULL: all */
	const char *service;               /* name in master.cf */
	bool header;                       /* Received says who */
};

struct smtpd_settings {
	const char *myhostname, *banner;
	uint64_t message_size_limit;       /* 0: none */
	size_t line_limit;
	long recipient_limit, recipient_overshoot_limit;
	long soft_error_limit, hard_error_limit, junk_command_limit;
	double timeout, error_sleep;
	bool helo_required, vrfy, smtputf8, strict_envelopes, forbid_unauth_pipelining;
	enum bare_lf bare_lf;
	const struct smtpd_tls *tls;       /* NULL: there is none */
	const struct smtpd_auth *auth;     /* NULL: nobody can log in */
	const char *forbidden_commands;    /* words of other protocols: the session ends */
	bool delay_reject;                 /* restrictions are asked at RCPT, not before */
	struct match_list *xclient, *xforward; /* who may say for whom it speaks; NULL: nobody */
	bool deliver_by;                   /* DELIVERBY is announced */
	struct match_list *verp;           /* who may ask for XVERP; NULL: nobody */
	const char *verp_delimiters, *verp_filter;
	const char *discard_ehlo_keywords;
	const char *content_filter;        /* "transport:destination"; empty: none */
	const char *reject_footer;         /* with $names; empty: none */
	struct table_list *reject_footer_maps; /* NULL: none */
};

/* What is counted of all clients (anvil). */
enum smtpd_event { EVENT_CONNECT, EVENT_MESSAGE, EVENT_RECIPIENT, EVENT_AUTH, EVENT_NEW_TLS, EVENT_COUNT };

/* What a client does that servers of mail do not. */
enum smtpd_oddity { ODDITY_PIPELINING, ODDITY_NON_SMTP, ODDITY_BARE_LF };

struct smtpd_file;                         /* an open queue file: the operations' own */

struct smtpd_ops {
	void *context;
	/* Restrictions, as policy_ask.  False: refused (logged), *reply says how. */
	bool (*ask)(void *context, const struct policy_question *question, struct smtp_reply *reply);
	/* ETRN: an enum qmgr_flush.  NULL: there is no such service. */
	unsigned (*flush)(void *context, struct slice site);
	/* Limits a client: false: over one of them (logged), *reply says so.  NULL: there are none. */
	bool (*count)(void *context, enum smtpd_event event, const struct policy_client *client, struct smtp_reply *reply);
	/* Judges them; `after` is the command before.  False: drop the client (*reply).  NULL: nobody looks. */
	bool (*oddity)(void *context, enum smtpd_oddity oddity, const char *after, struct slice text, struct smtp_reply *reply);
	/* SPF, DKIM and DMARC, as authentication_check.  NULL: nothing is checked. */
	bool (*authenticate)(void *context, const struct authentication_message *message,
			     struct authentication_effect *effect, struct smtp_reply *reply);
	/* A new queue file.  NULL: *reply says why not (4xx or 5xx). */
	struct smtpd_file *(*open)(void *context, struct smtp_reply *reply);
	const char *(*queue_id)(const struct smtpd_file *file);
	int (*descriptor)(const struct smtpd_file *file);
	/* Both end the life of the file.  commit returns when the message is durable. */
	bool (*commit)(struct smtpd_file **file, const struct message_envelope *envelope,
		       const struct message_content *content, struct smtp_reply *reply);
	void (*abort)(struct smtpd_file **file);
};

/* Serves one client to the end of its session and frees the stream. */
void smtpd_serve(struct stream *stream, const struct smtpd_settings *settings, const struct smtpd_ops *ops,
		 const struct policy_client *client);

#endif
