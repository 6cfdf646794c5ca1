/* SPDX-License-Identifier: ISC */
#include "smtpd/login_limits.h"

#include <stdio.h>

#include "common/base/log.h"

static void say(struct smtp_reply *reply, int code, const char *dsn, const char *text)
{
	reply->code = code;
	snprintf(reply->dsn, sizeof(reply->dsn), "%s", dsn);
	snprintf(reply->text, sizeof(reply->text), "%s", text);
}

static bool check(const struct login_limits *limits, const struct auth_counting *counting, struct smtp_reply *reply)
{
	struct auth_verdict verdict;
	struct err err = { 0 };
	char text[200];
	const char *what;

	if (!limits->count(limits->context, counting, &verdict, &err)) {
		log_warning("cannot count what login %.*s sends: %s", SLICE_FMT(counting->user), err.text);
		say(reply, 451, "4.3.0", "Error: temporary failure, try again later");
		return false;
	}
	if (verdict.over == AUTH_WITHIN)
		return true;
	what = verdict.over == AUTH_OVER_MESSAGES ? "messages" : "recipients";
	log_warning("%s rate limit exceeded: %llu for login %.*s from %s[%s]",
		    verdict.over == AUTH_OVER_MESSAGES ? "Message" : "Recipient", (unsigned long long)verdict.limit,
		    SLICE_FMT(counting->user), limits->client->name, limits->client->address);
	snprintf(text, sizeof(text), "Error: this login has reached its limit of %llu %s; try again in %llu seconds",
		 (unsigned long long)verdict.limit, what, (unsigned long long)verdict.seconds);
	say(reply, 450, "4.7.1", text);
	return false;
}

bool login_limits_message(const struct login_limits *limits, struct slice login, struct smtp_reply *reply)
{
	struct auth_counting counting = { login, 1, 0 };

	return check(limits, &counting, reply);
}

bool login_limits_recipient(const struct login_limits *limits, struct slice login, struct smtp_reply *reply)
{
	struct auth_counting counting = { login, 0, 1 };

	return check(limits, &counting, reply);
}
