/* SPDX-License-Identifier: ISC */
/*
 * Asking whether an address can be delivered to: verify(8).  Who speaks it:
 *
 *   smtpd                            verify
 *   QUERY address, wait       ──►
 *                             ◄──    ANSWER status, dsn, text: at once when it is known, after at most
 *                                    `wait` seconds when a probe is under way
 */
#ifndef POSTRIDER_COMMON_PROTO_VERIFY_PROTO_H
#define POSTRIDER_COMMON_PROTO_VERIFY_PROTO_H

#include "common/net/ipc.h"

extern const struct ipc_protocol verify_protocol;      /* "verify", 1 */

#define VERIFY_ADDRESS_MAX 1024
#define VERIFY_WAIT_MAX    120.0     /* longest wait that verify grants, seconds */

enum verify_type { VERIFY_QUERY = 1, VERIFY_ANSWER };

enum verify_status {
	VERIFY_OK,           /* a probe was accepted */
	VERIFY_BAD,          /* refused for good: dsn 5.x.x */
	VERIFY_TEMPORARY,    /* refused for now, or not reachable: dsn 4.x.x */
	VERIFY_UNKNOWN       /* not known yet: a probe is under way, or verify is away */
};

struct verify_result {
	enum verify_status status;
	char dsn[16];                /* "5.1.1" */
	char text[600];              /* what the probe's delivery said, printable */
};

/*
 * Suspends the task, at the longest until `deadline`.  Never fails otherwise than by
 * result->status.  The address is in internal form (routing/route.h's router_canonical).  Postfix's
 * waiting time is (address_verify_poll_count - 1) * address_verify_poll_delay: with a deadline of
 * now the answer is what the cache says; a probe is started in either case.
 */
void verify_address(struct ipc_client *client, struct slice address, double deadline, struct verify_result *result);

/* Codecs.  The decoders take nothing on trust: ERR_SYNTAX on anything out of form. */
bool verify_put_query(struct ipc_out *m, uint32_t request, struct slice address, double wait);
bool verify_get_query(const struct ipc_in *m, struct slice *address, double *wait, struct err *err) MUST_USE;
bool verify_put_answer(struct ipc_out *m, uint32_t request, const struct verify_result *result);
bool verify_get_answer(const struct ipc_in *m, struct verify_result *result, struct err *err) MUST_USE;
/* Fills it; the text is cut, control characters become '?'. */
void verify_set(struct verify_result *result, enum verify_status status, struct slice dsn, struct slice text);

#endif
