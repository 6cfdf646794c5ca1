/* SPDX-License-Identifier: ISC */
/*
 * Asking for a domain's MTA-STS policy (RFC 8461):
 *
 *   smtp                          mtasts
 *   QUERY domain          ──►
 *                         ◄──     ANSWER mode, mx, mx …: mode none also where there is no policy
 */
#ifndef POSTRIDER_COMMON_PROTO_MTASTS_PROTO_H
#define POSTRIDER_COMMON_PROTO_MTASTS_PROTO_H

#include "common/base/arena.h"
#include "common/mail/sts_policy.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol mtasts_protocol;      /* "mtasts", 1 */

enum mtasts_type { MTASTS_QUERY = 1, MTASTS_ANSWER };

/* Suspends the task.  False: mtasts is away, nothing is known.  The policy lies in the arena. */
bool mtasts_ask(struct ipc_client *client, struct slice domain, double deadline, struct arena *arena,
		struct sts_policy *policy, struct err *err) MUST_USE;

/* Codecs. */
bool mtasts_put_query(struct ipc_out *m, uint32_t request, struct slice domain);
bool mtasts_get_query(const struct ipc_in *m, struct slice *domain, struct err *err) MUST_USE;
bool mtasts_put_answer(struct ipc_out *m, uint32_t request, const struct sts_policy *policy);
/* Slices point into the message. */
bool mtasts_get_answer(const struct ipc_in *m, struct sts_policy *policy, struct err *err) MUST_USE;

#endif
