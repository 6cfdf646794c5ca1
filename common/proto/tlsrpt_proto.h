/* SPDX-License-Identifier: ISC */
/*
 * Telling how sessions with a domain's servers were encrypted, for reports to it (RFC 8460):
 *
 *   smtp                                             tlsrpt
 *   EVENT domain, policy, host, result …   ──►       (no answer)
 */
#ifndef POSTRIDER_COMMON_PROTO_TLSRPT_PROTO_H
#define POSTRIDER_COMMON_PROTO_TLSRPT_PROTO_H

#include "common/net/ipc.h"

extern const struct ipc_protocol tlsrpt_protocol;      /* "tlsrpt", 1 */

enum tlsrpt_type { TLSRPT_EVENT = 1 };

#define TLSRPT_LIST_MAX 64      /* strings of a policy, and servers that it names */
#define TLSRPT_TEXT_MAX 500     /* bytes of each, and of a reason */

enum tlsrpt_policy { TLSRPT_NO_POLICY, TLSRPT_TLSA, TLSRPT_STS, TLSRPT_POLICIES };
/* Section 4.3. */
enum tlsrpt_result {
	TLSRPT_SUCCESS, TLSRPT_NOT_SUPPORTED, TLSRPT_HOST_MISMATCH, TLSRPT_NOT_TRUSTED, TLSRPT_VALIDATION_FAILURE,
	TLSRPT_DNSSEC_INVALID, TLSRPT_RESULTS
};
const char *tlsrpt_policy_text(enum tlsrpt_policy policy);
const char *tlsrpt_result_text(enum tlsrpt_result result);

struct tlsrpt_event {
	struct slice domain;
	enum tlsrpt_policy policy;
	struct slice strings[TLSRPT_LIST_MAX];   /* the policy's text */
	size_t string_count;
	struct slice mx[TLSRPT_LIST_MAX];        /* the servers that it names */
	size_t mx_count;
	struct slice host, address;
	enum tlsrpt_result result;
	struct slice reason;                     /* empty: none */
};

/* Suspends the task for a moment at most; what cannot be told is lost. */
void tlsrpt_tell(struct ipc_client *client, const struct tlsrpt_event *event);

/* Codecs. */
bool tlsrpt_put_event(struct ipc_out *m, const struct tlsrpt_event *event);
/* Slices point into the message; all text is printable ASCII. */
bool tlsrpt_get_event(const struct ipc_in *m, struct tlsrpt_event *event, struct err *err) MUST_USE;

#endif
