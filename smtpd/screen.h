/* SPDX-License-Identifier: ISC */
/*
 * What Postfix has postscreen(8) for: tests of a client before the greeting (does it wait, is it on DNS
 * lists) and after it (does it speak SMTP), so that those who fail cost next to nothing.  Same parameters, same log.
 */
#ifndef POSTRIDER_SMTPD_SCREEN_H
#define POSTRIDER_SMTPD_SCREEN_H

#include "common/net/ipc.h"
#include "common/net/stream.h"
#include "policy/policy.h"
#include "smtpd/screen_cache.h"
#include "smtpd/smtpd.h"

struct screen;
/* Before the sandbox.  *screen NULL: postscreen_enable = no. */
bool screen_load(const struct config *config, struct screen **screen, struct err *err) MUST_USE;
bool screen_changed(struct screen *screen);

/* One client's. */
struct screening {
	struct screen *screen;
	const struct policy_client *client;
	struct smtp_reply refusal;     /* code 0: none; else what each recipient is answered */
	struct screen_passed passed;
	bool exempt;                   /* by the access list, or known from earlier: no test is made */
	bool failed;                   /* some test, also one that is ignored */
	bool told;                     /* PASS NEW is in the log */
};

/*
 * Before the greeting; suspends.  False: the client has been told farewell, or has gone.  `speaks_first`: TLS from the
 * first byte on, there is no greeting to wait for.
 */
bool screen_client(struct screen *screen, struct stream *stream, const struct policy_client *client, bool speaks_first,
		   struct ipc_client *resolver, struct screening *s) MUST_USE;
/* In a session.  False: the client is to be dropped (*reply). */
bool screen_event(struct screening *s, enum smtpd_oddity oddity, const char *after, struct slice text,
		  struct smtp_reply *reply);
/* At a recipient.  False: refused (*reply), and logged. */
bool screen_recipient(struct screening *s, const struct policy_facts *facts, struct smtp_reply *reply);

#endif
