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
#include "smtpd/auth.h"
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
};

struct smtpd_reply {
	int code;                          /* 0: nothing to say, go on */
	char dsn[16];
	char text[400];
};

struct smtpd_client {
	const char *name;                  /* "unknown" when not known */
	const char *address;               /* "192.0.2.1" */
	const char *port;
};

/* What a restriction may look at. */
struct smtpd_facts {
	const struct smtpd_client *client;
	struct slice helo, sender, recipient;
	bool smtputf8;
	struct slice login;                /* who has logged in; empty: nobody */
	bool asked_only;                   /* by VRFY: no mail comes of it */
};

struct smtpd_file;                         /* an open queue file: the operations' own */

struct smtpd_ops {
	void *context;
	/* Relay and recipient restrictions.  False: refused, *reply says how. */
	bool (*recipient)(void *context, const struct smtpd_facts *facts, struct arena *arena,
			  struct smtpd_reply *reply);
	/* A new queue file.  NULL: *reply says why not (4xx or 5xx). */
	struct smtpd_file *(*open)(void *context, struct smtpd_reply *reply);
	const char *(*queue_id)(const struct smtpd_file *file);
	int (*descriptor)(const struct smtpd_file *file);
	/* Both end the life of the file.  commit returns when the message is durable. */
	bool (*commit)(struct smtpd_file **file, const struct message_envelope *envelope,
		       const struct message_content *content, struct smtpd_reply *reply);
	void (*abort)(struct smtpd_file **file);
};

/* Serves one client to the end of its session and frees the stream. */
void smtpd_serve(struct stream *stream, const struct smtpd_settings *settings, const struct smtpd_ops *ops,
		 const struct smtpd_client *client);

#endif
