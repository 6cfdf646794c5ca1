/* SPDX-License-Identifier: ISC */
/* A connection to a server, from the greeting on; what client.c speaks over. */
#ifndef POSTRIDER_DELIVERY_SMTP_SESSION_H
#define POSTRIDER_DELIVERY_SMTP_SESSION_H

#include "delivery/smtp/reply.h"
#include "delivery/smtp/security.h"
#include "delivery/smtp/target.h"

enum smtp_feature {
	SMTP_ESMTP = 1, SMTP_PIPELINING = 2, SMTP_SIZE = 4, SMTP_8BITMIME = 8, SMTP_SMTPUTF8 = 16,
	SMTP_CHUNKING = 32, SMTP_DSN = 64, SMTP_ENHANCED = 128, SMTP_STARTTLS = 256, SMTP_DELIVERBY = 512, SMTP_AUTH = 1024,
	/* XFORWARD (Postfix's XFORWARD_README), by attribute */
	SMTP_XF_NAME = 1 << 11, SMTP_XF_ADDR = 1 << 12, SMTP_XF_PORT = 1 << 13, SMTP_XF_PROTO = 1 << 14, SMTP_XF_HELO = 1 << 15,
	SMTP_XF_IDENT = 1 << 16, SMTP_XF_SOURCE = 1 << 17
};

struct smtp_session {
	struct stream *stream;
	char *nexthop;             /* key in the cache */
	char *host;                /* its name alone */
	unsigned port;             /* 0: a Unix socket */
	char *name;                /* "host[address]": in texts */
	char *relay;               /* "host[address]:port": in the log */
	char *address;
	unsigned features;         /* enum smtp_feature */
	char mechanisms[512];      /* of AUTH, as offered; "" without */
	uint64_t size_limit;       /* of SIZE; 0: none told */
	double opened;
	unsigned uses;             /* messages sent, also those that failed */
	bool needs_rset;           /* a transaction was left open */
	bool broken;               /* not to be used again */
	bool farewell;             /* in sync with the server: QUIT would be understood */
	bool encrypted;
	bool verified;             /* and the server has proved who it is */
	bool logged_in;
	bool keep;                 /* the policy lets it be used again */
	struct tls_info tls;       /* when encrypted */
	struct smtp_reply reply;   /* the last one */
	struct smtp_session *next_same, *next_older, *prev_older; /* cache's */
	double expires;
};

/* Takes the stream. */
struct smtp_session *smtp_session_create(struct stream *stream, const struct smtp_target *target, struct slice nexthop);
/* Says QUIT without waiting for the answer, where that makes sense; closes. */
void smtp_session_free(struct smtp_session **session);
enum smtp_greeting {
	SMTP_GREETED,
	SMTP_UNGREETED,        /* *failure, which may be permanent */
	SMTP_WITHOUT_TLS,      /* *failure; but the policy would let the same go unencrypted, over a new connection */
};
/*
 * Greeting, EHLO or LHLO or HELO, and TLS as the policy wants it.  Unless greeted, the session is
 * broken.
 */
enum smtp_greeting smtp_session_greet(struct smtp_session *session, const struct smtp_settings *settings,
				      const struct smtp_policy *policy, struct arena *arena,
				      struct smtp_failure *failure) MUST_USE;
/* Reads a reply.  False: connection lost, malformed reply: *failure says so, session broken. */
bool smtp_session_reply(struct smtp_session *session, const char *doing, double timeout, struct arena *arena,
			struct smtp_failure *failure);
/* The same for a status that a write gave. */
void smtp_session_lost(struct smtp_session *session, enum stream_status status, const char *doing,
		       struct arena *arena, struct smtp_failure *failure);
/* "host x[y] said: 550 … (in reply to RCPT TO command)" of the last reply. */
void smtp_session_refused(const struct smtp_session *session, const char *in_reply_to, struct arena *arena,
			  struct smtp_failure *failure);

#endif
