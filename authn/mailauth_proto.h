/* SPDX-License-Identifier: ISC */
/*
 * Asking mailauth about a message.  Who speaks it: smtpd.
 *
 *   smtpd                               mailauth
 *   VERIFY client, sender, message  ──►            (the queue file's descriptor goes along)
 *   CHECK_SPF client, sender        ──►            (no message yet)
 *                                   ◄──  VERIFIED results, the header field
 *
 * A mailauth that is away, or dies on the message, is a temporary result of everything.
 */
#ifndef POSTRIDER_AUTHN_MAILAUTH_PROTO_H
#define POSTRIDER_AUTHN_MAILAUTH_PROTO_H

#include "authn/verify.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol mailauth_protocol; /* "mailauth", 1 */

#define MAILAUTH_TEXT_MAX    2048 /* of names and addresses */
#define MAILAUTH_HEADER_MAX  32768
#define MAILAUTH_DOMAINS_MAX 100

enum mailauth_type { MAILAUTH_VERIFY = 1, MAILAUTH_CHECK_SPF, MAILAUTH_VERIFIED };

struct mailauth_question {
	struct slice id; /* queue ID, for the log */
	struct slice address, helo, sender;
	struct slice client_name; /* for the log */
	uint64_t length;          /* of the content, from MESSAGE_CONTENT_OFFSET */
};

struct mailauth_answer {
	bool known;          /* false: mailauth is away; all results are temperror */
	struct slice header; /* fields to put first, whole, CRLF lines */
	enum spf_result spf;
	struct slice spf_domain, spf_reason, spf_explanation;
	size_t signatures;
	bool dkim_failed;    /* there are signatures, none is good, and none may be later */
	bool dkim_temporary; /* some might have been good, had DNS answered */
	struct slice passed[MAILAUTH_DOMAINS_MAX]; /* d= of good signatures */
	size_t passed_count;
	enum dmarc_result dmarc;
	enum dmarc_policy policy, disposition;
	struct slice dmarc_domain, dmarc_reason, dmarc_override;
};

/* Suspend the task; memory is the arena's.  fd < 0: SPF alone. */
void mailauth_ask(struct ipc_client *client, const struct mailauth_question *question, int fd,
		  double deadline, struct arena *arena, struct mailauth_answer *answer);

/* The server's side.  False on anything out of form. */
bool mailauth_get_question(const struct ipc_in *m, struct mailauth_question *question) MUST_USE;
bool mailauth_put_answer(struct ipc_out *m, uint32_t request, const struct verify_answer *v,
			 struct slice header);
/* The client's, for the fuzzer too. */
bool mailauth_get_answer(const struct ipc_in *m, struct arena *arena,
			 struct mailauth_answer *answer) MUST_USE;

#endif
