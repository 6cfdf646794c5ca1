/* SPDX-License-Identifier: ISC */
/* What the client needs to know of the configuration. */
#ifndef POSTRIDER_DELIVERY_SMTP_SETTINGS_H
#define POSTRIDER_DELIVERY_SMTP_SETTINGS_H

#include <sys/socket.h>

#include "common/config/config.h"

struct smtp_security;
struct smtp_login;
struct smtp_generic;

enum smtp_preference { SMTP_PREFER_ANY, SMTP_PREFER_IPV4, SMTP_PREFER_IPV6 };

struct smtp_settings {
	bool lmtp;                 /* LHLO, a reply a recipient */
	const char *helo_name;
	const char *myhostname;
	unsigned tcp_port;         /* for next hops without one */
	const char *fallback_relay;
	const char *host_lookup;
	enum smtp_preference preference;
	bool ipv4, ipv6;
	struct sockaddr_storage bind4, bind6; /* ss_family 0: none */
	/* seconds */
	double connect_timeout, helo_timeout, mail_timeout, rcpt_timeout;
	double data_init_timeout, data_xfer_timeout, data_done_timeout, rset_timeout;
	double cache_time;         /* how long an idle connection is kept */
	double reuse_time;         /* how old a connection may become */
	long reuse_count;          /* messages a connection; 0: no limit */
	size_t line_limit;         /* 0: none */
	size_t address_limit;      /* addresses tried a delivery; 0: all */
	size_t session_limit;      /* sessions tried a delivery; 0: all */
	bool skip_5xx_greeting;
	bool never_ehlo, only_offered_ehlo; /* HELO always; unless the greeting says ESMTP */
	bool send_xforward;        /* tell a content filter whose mail it was */
	bool no_mx;                /* next hops are hosts */
	const char *discard_keywords; /* of EHLO's answer; NULL: none */
	const char *const *own;    /* our addresses: mail is not sent to ourselves */
	size_t own_count;
	long slots;                /* deliveries at a time in this process */
	const struct smtp_security *security; /* NULL: nothing is encrypted */
	const struct smtp_login *login;       /* NULL: never */
	const struct smtp_generic *generic;   /* NULL: addresses stay */
};

/*
 * Before the sandbox: looks at the interfaces.  What it allocates stays for good.
 * False: a value that cannot be used.
 */
bool smtp_settings_load(struct smtp_settings *settings, const struct config *config, bool lmtp,
			struct err *err) MUST_USE;

#endif
