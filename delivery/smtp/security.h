/* SPDX-License-Identifier: ISC */
/*
 * How a connection to a server has to be encrypted, and who the server must prove to be: postconf(5)'s
 * smtp_tls_ parameters, smtp_tls_policy_maps, and DANE (RFC 7672).
 */
#ifndef POSTRIDER_DELIVERY_SMTP_SECURITY_H
#define POSTRIDER_DELIVERY_SMTP_SECURITY_H

#include "common/tls/client.h"
#include "delivery/smtp/target.h"
#include "tables/table.h"

struct smtp_security {
	enum tls_level level;             /* where no policy says otherwise */
	bool wrapper;                     /* TLS from the first byte on */
	bool reuse;                       /* encrypted connections are kept for further messages */
	bool note_offer;                  /* log that STARTTLS was offered to us, who do not use it */
	long loglevel;
	double timeout;                   /* for STARTTLS and the handshake */
	double plain_after;               /* "may": a message this old goes unencrypted where the handshake fails */
	const char *verify_match, *secure_match, *fingerprint_match, *server_name;
	enum tls_level insecure_mx;       /* DANE: hosts from MX records that are not signed */
	bool insecure_host_lookup;
	bool mta_sts;                     /* smtp_mta_sts */
	struct ipc_client *sts;           /* of mtasts; NULL: not asked */
	struct table_list *policies;
	struct tls_client *client;        /* NULL: nothing is ever encrypted */
};

struct smtp_account;

/* What holds for one server. */
struct smtp_policy {
	enum tls_level level;
	struct tls_wish wish;
	bool reuse;
	const struct smtp_account *account; /* to log in with, where the server lets us; NULL */
};

/* Before the sandbox; `prefix` is "smtp_" or "lmtp_".  Stays for good. */
bool smtp_security_load(struct smtp_security *security, const struct config *config, bool lmtp, struct err *err) MUST_USE;
void smtp_security_start(struct smtp_security *security, ipc_connect_fn *connect);

/*
 * May suspend the task (tables, TLSA records).  Memory is the lookup's arena's.  False: *failure, and the server cannot be
 * used now: what must be known of it could not be found out, or rules it out.
 */
bool smtp_security_find(const struct smtp_lookup *lookup, struct slice nexthop, const struct smtp_target *target,
			struct smtp_policy *policy, struct smtp_failure *failure) MUST_USE;

#endif
