/* SPDX-License-Identifier: ISC */
/*
 * The client's side of SASL, for delivery/smtp: which mechanism, and what to answer to each
 * challenge.  No I/O: challenges and responses are bytes, base64 and 334 are the caller's.
 *
 *   name = sasl_client_choose(&choice);
 *   c = sasl_client_create(name, &credentials, &err);
 *   has = sasl_client_first(c, &response, &err)      AUTH name [response, "=" when empty]
 *   334 challenge → sasl_client_next(c, …)           response
 *   235           → sasl_client_finish(c, …)         did the server prove itself?
 *   535           → sasl_client_error(c)             what the server said on the way, for the log
 */
#ifndef POSTRIDER_COMMON_SASL_CLIENT_H
#define POSTRIDER_COMMON_SASL_CLIENT_H

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/sasl/mechanism.h"

/* --- secrets: what stands behind the colon in smtp_sasl_password_maps --- */

enum sasl_secret_kind {
	SASL_SECRET_PASSWORD,       /* text; an OAuth token too, when only OAuth mechanisms are let through */
	SASL_SECRET_TOKEN,          /* "{token}text" */
	SASL_SECRET_TOKEN_FILE,     /* "{token-file}/path": read anew for each session */
	SASL_SECRET_TOKEN_COMMAND   /* "{token-command}/path arguments": its standard output */
};

struct sasl_secret {
	enum sasl_secret_kind kind;
	struct slice text;
};

/* "user:secret".  False: no colon, or a name that no mechanism can carry. */
bool sasl_login_parse(struct slice value, struct slice *user, struct sasl_secret *secret) MUST_USE;
/*
 * What a token file or command holds: the token alone on the first line, or a JSON object with
 * access_token, and maybe expires_in (seconds) or expiry (Unix time).  *expires 0: not said.  `now` is wall clock.
 */
bool sasl_token_parse(struct slice text, double now, struct str *token, double *expires, struct err *err) MUST_USE;

/* --- choice --- */

struct sasl_choice {
	struct slice offered;            /* words of EHLO's AUTH line */
	struct sasl_options options;     /* smtp_sasl_…security_options that count in this session */
	bool token;                      /* the secret is a token: XOAUTH2 and OAUTHBEARER alone */
	bool filtered;                   /* smtp_sasl_mechanism_filter is set, and `allows` asks it */
	bool (*allows)(void *context, const char *mechanism);
	void *context;
	bool can_bind;                   /* TLS 1.3, or 1.2 with extended master secret: tls-exporter */
};

/* The best mechanism that all agree to, in upper case; NULL: none. */
const char *sasl_client_choose(const struct sasl_choice *choice);

/* --- exchange --- */

struct sasl_credentials {
	struct slice user, authzid;      /* authzid is mostly empty */
	struct slice secret;             /* password or token */
	struct slice host;               /* of the server, and its port: OAUTHBEARER says them */
	unsigned port;
	struct slice binding;            /* tls-exporter's 32 bytes, for SCRAM-…-PLUS */
	bool could_bind;                 /* we could, the server did not offer it */
	struct slice nonce;              /* for tests; empty: random */
};

struct sasl_client;

/* Copies what it needs.  NULL: not one of our mechanisms, or it cannot carry the credentials. */
struct sasl_client *sasl_client_create(const char *mechanism, const struct sasl_credentials *credentials,
				       struct err *err) MUST_USE;
void sasl_client_free(struct sasl_client **client);
/* 1: `out` is the initial response (may be empty), 0: the server speaks first, -1: error. */
int sasl_client_first(struct sasl_client *client, struct str *out, struct err *err) MUST_USE;
/* False: abort with "*". */
bool sasl_client_next(struct sasl_client *client, struct slice challenge, struct str *out, struct err *err) MUST_USE;
/* The server said yes.  False: it skipped its own proof (SCRAM): do not go on with it. */
bool sasl_client_finish(const struct sasl_client *client, struct err *err) MUST_USE;
/* "" when it said nothing. */
const char *sasl_client_error(const struct sasl_client *client);

#endif
