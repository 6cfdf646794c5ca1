/* SPDX-License-Identifier: ISC */
/*
 * Who may send what to whom: the restriction lists of smtpd (postconf(5)), compiled once at start into
 * rules, and asked at each stage of a session.  A library: no process, no globals.
 *
 * A question may suspend the calling task (DNS, tables that proxymap asks, policy services).  What cannot be
 * found out now is a 4xx reply, never a permission.
 */
#ifndef POSTRIDER_POLICY_POLICY_H
#define POSTRIDER_POLICY_POLICY_H

#include "common/base/arena.h"
#include "common/config/config.h"
#include "common/net/ipc.h"
#include "policy/reply.h"

struct tls_info;
struct mailauth_answer;

enum policy_stage {
	POLICY_CLIENT, POLICY_HELO, POLICY_SENDER, POLICY_RELAY, POLICY_RECIPIENT, POLICY_DATA, POLICY_END_OF_DATA,
	POLICY_ETRN, POLICY_STAGES
};

enum policy_name_status { POLICY_NAME_KNOWN, POLICY_NAME_TEMPORARY, POLICY_NAME_NONE };

struct policy_client {
	const char *name;                  /* its PTR, confirmed by its A or AAAA; else "unknown" */
	const char *reverse_name;          /* its PTR, unconfirmed; else "unknown" */
	enum policy_name_status name_status, reverse_status;
	const char *address;               /* "192.0.2.1", "2001:db8::1" */
	const char *port;
	const char *server_address, *server_port;
};

/* What a restriction may look at; slices that are not known yet are empty. */
struct policy_facts {
	const struct policy_client *client;
	const struct tls_info *tls;        /* NULL: not encrypted */
	const char *command;               /* "CONNECT", "EHLO", "RCPT", "END-OF-MESSAGE" … as in the log */
	const char *protocol;              /* "ESMTP" */
	const char *queue_id;              /* "NOQUEUE" until there is a file */
	const char *instance;              /* the same for all questions about one message; NULL: none yet */
	struct slice helo, sender, recipient;
	bool has_sender;                   /* the sender is known, though perhaps empty */
	bool smtputf8;
	size_t recipient_count;            /* accepted so far */
	uint64_t size;                     /* announced, at the end of data the true one */
	struct slice login, login_method;  /* who has logged in; empty: nobody */
	struct slice etrn_domain;
	const struct mailauth_answer *authentication; /* at the end of data; NULL: not known */
	bool asked_only;                   /* by VRFY: no mail comes of it */
	bool out_of_turn;                  /* it has sent something before it was its turn */
};

/* What restrictions do to a message that they let through. */
struct policy_effects {
	struct slice filter, redirect;     /* "transport:destination"; an address */
	struct slice prepend;              /* header fields, whole lines with CRLF */
	struct slice *bcc;
	size_t bcc_count;
	bool hold, discard;
	bool from_here;                    /* local_header_rewrite_clients has the client; known from POLICY_SENDER on */
};

/* A temporary problem that matters only if the mail were permitted (or rejected) in the end. */
struct policy_deferral {
	bool active;
	struct smtp_reply reply;
};

/* What one stage leaves to the next: one of a session for what precedes MAIL, one of each transaction. */
struct policy_memory {
	struct policy_deferral deferral;   /* defer_if_permit */
	struct policy_effects effects;
};

struct policy;
/*
 * Opens the tables: before privileges are dropped.  NULL with an error that names file, parameter
 * and word: an unknown restriction, a wrong argument, lists by which strangers could relay.
 */
struct policy *policy_create(const struct config *config, struct err *err) MUST_USE;
/* In the sandbox: the services that questions go to. */
void policy_connect(struct policy *policy, ipc_connect_fn *connect);
bool policy_changed(struct policy *policy);
void policy_free(struct policy **policy);

/*
 * Asks the lists of a stage; with smtpd_delay_reject those before RCPT are asked there, at each recipient.
 * POLICY_RECIPIENT stands for the relay list too.  POLICY_SENDER is to be asked at each MAIL.  False: refused, *reply says how, `logged` as Postfix does.
 * `session` and `transaction` are changed; before MAIL they are the same.
 */
struct policy_question {
	enum policy_stage stage;
	const struct policy_facts *facts;
	struct policy_memory *session, *transaction;
	struct arena *arena;               /* lives as long as the effects: the transaction's, or the session's */
};
bool policy_ask(struct policy *policy, const struct policy_question *question, struct smtp_reply *reply) MUST_USE;

/* A line of the log about a session: "NOQUEUE: reject: RCPT from name[address]: text; from=<…> …". */
void policy_log(const struct policy_facts *facts, const char *action, const char *text);

#endif
