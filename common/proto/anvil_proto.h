/* SPDX-License-Identifier: ISC */
/*
 * Counting what each client does, over all smtpd processes: anvil(8).
 *
 *   smtpd                              anvil
 *   COUNT service, client, event ──►
 *                                ◄──   COUNTED connections, rate
 *   LEAVE service, client        ──►   (no answer) a session that was counted with ANVIL_CONNECT has ended
 *
 * When the connection to an smtpd is lost, all its sessions have ended.
 */
#ifndef POSTRIDER_COMMON_PROTO_ANVIL_PROTO_H
#define POSTRIDER_COMMON_PROTO_ANVIL_PROTO_H

#include "common/net/ipc.h"

extern const struct ipc_protocol anvil_protocol;       /* "anvil", 1 */

#define ANVIL_NAME_MAX 128     /* bytes of a service's name, and of a client's */

enum anvil_type { ANVIL_COUNT = 1, ANVIL_COUNTED, ANVIL_LEAVE };
enum anvil_event { ANVIL_CONNECT, ANVIL_MESSAGE, ANVIL_RECIPIENT, ANVIL_AUTH, ANVIL_NEW_TLS, ANVIL_EVENTS };

/* Who is counted: clients of one service together when they have the same name ("192.0.2.1", "2001:db8::/64"). */
struct anvil_who {
	struct slice service, client;
};

struct anvil_counts {
	uint64_t connections;    /* open now, this one included */
	uint64_t rate;           /* of the event, in the present unit of time */
};

/* Suspends the task.  False: it cannot be told now (ERR_TEMPORARY …). */
bool anvil_count(struct ipc_client *client, const struct anvil_who *who, enum anvil_event event, double deadline,
		 struct anvil_counts *counts, struct err *err) MUST_USE;
void anvil_leave(struct ipc_client *client, const struct anvil_who *who);

/* Codecs.  The decoders take nothing on trust: ERR_SYNTAX on anything out of form. */
bool anvil_put_count(struct ipc_out *m, uint32_t request, const struct anvil_who *who, enum anvil_event event);
bool anvil_get_count(const struct ipc_in *m, struct anvil_who *who, enum anvil_event *event, struct err *err) MUST_USE;
bool anvil_put_counted(struct ipc_out *m, uint32_t request, const struct anvil_counts *counts);
bool anvil_get_counted(const struct ipc_in *m, struct anvil_counts *counts, struct err *err) MUST_USE;
bool anvil_put_leave(struct ipc_out *m, const struct anvil_who *who);
bool anvil_get_leave(const struct ipc_in *m, struct anvil_who *who, struct err *err) MUST_USE;

#endif
