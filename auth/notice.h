/* SPDX-License-Identifier: ISC */
/* Tells the postmaster that a login sends more than its limit. */
#ifndef POSTRIDER_AUTH_NOTICE_H
#define POSTRIDER_AUTH_NOTICE_H

#include "common/base/str.h"
#include "common/proto/auth_proto.h"

struct notice_settings {
	const char *myhostname, *mail_name;
	const char *recipient;             /* error_notice_recipient, with its domain */
};

/* The message, CRLF lines. */
void notice_write(const struct notice_settings *s, struct slice user, const struct auth_verdict *verdict, double now,
		  struct str *out);
/* Hands it to cleanup; suspends the task. */
bool notice_send(struct ipc_client *cleanup, const struct notice_settings *s, struct slice text, struct err *err) MUST_USE;

#endif
