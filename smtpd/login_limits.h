/* SPDX-License-Identifier: ISC */
/*
 * Limits a login: what MAIL and RCPT of a client that has logged in are answered when it has sent
 * enough.  The counts are auth's, and so those of all smtpd processes; auth tells the postmaster.
 *
 * The session calls login_limits_message before MAIL is answered 250 and login_limits_recipient
 * before RCPT is, when all restrictions have let it through.
 */
#ifndef POSTRIDER_SMTPD_LOGIN_LIMITS_H
#define POSTRIDER_SMTPD_LOGIN_LIMITS_H

#include "common/proto/auth_proto.h"
#include "smtpd/smtpd.h"

/* auth_count, or a test's. */
typedef bool login_count_fn(void *context, const struct auth_counting *counting, struct auth_verdict *verdict,
			    struct err *err);

struct login_limits {
	login_count_fn *count;
	void *context;
	const struct policy_client *client;
};

/* False: refused with 450 (or 451 when it cannot be told now), *reply says how; logged. */
bool login_limits_message(const struct login_limits *limits, struct slice login, struct smtp_reply *reply) MUST_USE;
bool login_limits_recipient(const struct login_limits *limits, struct slice login, struct smtp_reply *reply) MUST_USE;

#endif
