/* SPDX-License-Identifier: ISC */
/* Logging in at a server: postconf(5)'s smtp_sasl_ parameters. */
#ifndef POSTRIDER_DELIVERY_SMTP_LOGIN_H
#define POSTRIDER_DELIVERY_SMTP_LOGIN_H

#include "common/sasl/client.h"
#include "delivery/smtp/target.h"
#include "delivery/smtp/token.h"
#include "tables/table.h"

struct smtp_session;

struct smtp_login {
	struct table_list *passwords;
	struct match_list *filter;        /* NULL: every mechanism */
	struct sasl_options plain, tls, verified;
	bool soft_bounce;                 /* a refused log-in defers */
	bool sender_dependent;
	struct table_address_style style; /* of senders as keys */
	struct smtp_tokens *tokens;
};

/* Who we are at one server. */
struct smtp_account {
	struct slice user;
	struct sasl_secret secret;
};

/*
 * Before the sandbox; splits off the process for tokens.  Stays for good.  *enabled false: nobody is
 * logged in anywhere, and `login` is not to be used.
 */
bool smtp_login_load(struct smtp_login *login, const struct config *config, bool lmtp, bool *enabled,
		     struct err *err) MUST_USE;
bool smtp_login_changed(const struct smtp_login *login);

struct smtp_login_key {
	struct slice sender, host, nexthop;
};
/* 1: *account, in the arena.  0: none for that server.  -1: *failure, ours and temporary.  May suspend. */
int smtp_login_find(const struct smtp_login *login, const struct smtp_login_key *key, struct arena *arena,
		    struct smtp_account *account, struct smtp_failure *failure) MUST_USE;

/*
 * After EHLO, where the server offers AUTH.  False: *failure, which is permanent only without soft_bounce and
 * where the server said so.
 */
bool smtp_login_perform(const struct smtp_login *login, struct smtp_session *session, const struct smtp_account *account,
			double timeout, struct arena *arena, struct smtp_failure *failure) MUST_USE;

#endif
