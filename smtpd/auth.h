/* SPDX-License-Identifier: ISC */
/*
 * The AUTH command (RFC 4954) as an engine: what it needs of the session is a table of operations,
 * so that a script stands in for a client in tests.  The session calls auth_run for the command,
 * auth_announce for EHLO's lines, and auth_reset when what was learnt in plain text is forgotten
 * (STARTTLS).  The user stays logged in until the session ends: RSET and EHLO do not change that.
 */
#ifndef POSTRIDER_SMTPD_AUTH_H
#define POSTRIDER_SMTPD_AUTH_H

#include "common/base/str.h"
#include "common/proto/auth_proto.h"

struct auth_settings {
	bool broken_clients;               /* broken_sasl_auth_clients: "AUTH=" too */
	bool tls_only;                     /* smtpd_tls_auth_only */
	size_t response_limit;             /* smtpd_sasl_response_limit */
	struct sasl_options options;       /* smtpd_sasl_security_options */
	struct sasl_options tls_options;   /* smtpd_sasl_tls_security_options */
};

enum auth_read {
	AUTH_READ_LINE,
	AUTH_READ_TOO_LONG,                /* the rest of the line is skipped */
	AUTH_READ_GONE                     /* end, error or time-out: the session sees to that */
};

struct auth_ops {
	void *context;
	/* The next line of the client's; replies that wait are flushed first. */
	enum auth_read (*read)(void *context, size_t limit, struct slice *line);
	/* One reply; `dsn` may be "".  4xx and 5xx count as errors. */
	void (*reply)(void *context, int code, const char *dsn, const char *text);
	/* The mechanisms of this service: as auth_mechanisms().  False: not to be had now. */
	bool (*mechanisms)(void *context, struct arena *arena, struct auth_mechanism *list, size_t *count);
	/* smtpd_sasl_mechanism_filter; NULL: all. */
	bool (*filter)(void *context, struct slice mechanism);
	/* The backend: as auth_begin(), auth_respond(), auth_cancel(). */
	void (*begin)(void *context, struct auth_start *start, struct arena *arena, struct auth_answer *answer);
	void (*respond)(void *context, struct slice response, struct arena *arena, struct auth_answer *answer);
	void (*cancel)(void *context);
};

/* What the session is at the time. */
struct auth_facts {
	bool greeted;                      /* HELO or EHLO was said */
	bool enabled;                      /* smtpd_sasl_auth_enable, not an exception, keyword not discarded */
	bool in_transaction;
	bool secured, certificate;         /* TLS; the client's certificate was verified */
	const char *client_name, *client_address, *client_port;
	const char *local_address, *local_port;
	const char *service;               /* name in master.cf */
};

/* Who logged in. */
struct auth_state {
	struct str user, method;           /* empty: nobody */
};

/* "AUTH PLAIN LOGIN" lines without their "250-", each ended by LF; nothing when there is nothing to announce. */
void auth_announce(const struct auth_settings *settings, const struct auth_ops *ops, const struct auth_facts *facts,
		   struct str *out);
/* The command; `args` is what stands behind the verb, trimmed.  True: logged in now. */
bool auth_run(struct auth_state *state, const struct auth_settings *settings, const struct auth_ops *ops,
	      const struct auth_facts *facts, struct slice args);
void auth_reset(struct auth_state *state);
/* MAIL's AUTH= parameter (RFC 4954 §5): is the value well-formed ("<>" or xtext)? */
bool auth_parameter_valid(struct slice value);

#endif
