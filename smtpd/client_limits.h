/* SPDX-License-Identifier: ISC */
/*
 * Limits a client (smtpd_client_connection_count_limit and kin), counted by anvil over all smtpd processes.
 * When anvil cannot tell, nobody is over a limit.
 */
#ifndef POSTRIDER_SMTPD_CLIENT_LIMITS_H
#define POSTRIDER_SMTPD_CLIENT_LIMITS_H

#include "common/config/config.h"
#include "common/proto/anvil_proto.h"
#include "smtpd/smtpd.h"

struct client_limits {
	uint64_t connections;                 /* at a time; 0: no limit */
	uint64_t rates[EVENT_COUNT];          /* in a unit of time; 0: no limit */
	struct match_list *exceptions;
	unsigned ipv4_bits, ipv6_bits;        /* clients that are counted together */
	const char *service, *myhostname;
	struct ipc_client *anvil;             /* NULL: no limit is set */
};

/* Before privileges are dropped.  False: *err names the parameter. */
bool client_limits_load(struct client_limits *limits, const struct config *config, const char *service,
			struct err *err) MUST_USE;
/* In the sandbox. */
void client_limits_connect(struct client_limits *limits, ipc_connect_fn *connect);

/* What one session is counted as. */
struct client_count {
	const struct client_limits *limits;
	char client[64];                      /* its network, as anvil knows it; empty: not counted as connected */
};

/* As smtpd_ops.count; EVENT_CONNECT of another client (XCLIENT) takes the place of the first. */
bool client_count(struct client_count *count, enum smtpd_event event, const struct policy_client *client,
		  struct smtp_reply *reply) MUST_USE;
/* The session has ended. */
void client_count_end(struct client_count *count);

/* "192.0.2.0/24", or the address itself when all bits count; exported for its test. */
void client_network(const char *address, unsigned ipv4_bits, unsigned ipv6_bits, char *out, size_t size);

#endif
