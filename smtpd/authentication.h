/* SPDX-License-Identifier: ISC */
/* At the end of data: SPF, DKIM and DMARC of a message from outside, and what is done about it. */
#ifndef POSTRIDER_SMTPD_AUTHENTICATION_H
#define POSTRIDER_SMTPD_AUTHENTICATION_H

#include "authn/mailauth_proto.h"
#include "common/config/config.h"
#include "policy/policy.h"
#include "tables/table.h"

enum authentication_policy { AUTHENTICATION_OFF, AUTHENTICATION_MARK, AUTHENTICATION_ENFORCE };
enum quarantine { QUARANTINE_MARK, QUARANTINE_HOLD, QUARANTINE_FILTER };

struct authentication {
	enum authentication_policy spf, dkim, dmarc;
	enum quarantine quarantine;
	const char *filter; /* QUARANTINE_FILTER: "transport:destination" */
	bool defers;        /* mailauth_temporary_action = defer */
	double timeout;
	struct match_list *trusted;    /* clients that are not checked */
	struct table_list *exceptions; /* NULL: none */
	struct ipc_client *client;     /* of mailauth; NULL: off, or not connected yet */
};

/* Before privileges are dropped.  False: *err names parameter and word. */
bool authentication_load(struct authentication *a, const struct config *config,
			 struct err *err) MUST_USE;
/* In the sandbox.  Does nothing when all is off. */
void authentication_connect(struct authentication *a, ipc_connect_fn *connect);
bool authentication_changed(const struct authentication *a);

/* What becomes of the message. */
struct authentication_effect {
	bool foreign;                         /* from outside: fields in our name must go */
	const struct mailauth_answer *answer; /* NULL: not checked */
	bool hold;
	struct slice filter;
};
struct authentication_message {
	const struct policy_facts *facts;
	int fd;              /* of the queue file */
	uint64_t length;     /* of the content in it */
	struct arena *arena; /* of the effect */
};
/* Suspends the task.  False: *reply is the refusal (logged). */
bool authentication_check(const struct authentication *a,
			  const struct authentication_message *message,
			  struct authentication_effect *effect, struct smtp_reply *reply) MUST_USE;

#endif
