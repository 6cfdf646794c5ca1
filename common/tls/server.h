/* SPDX-License-Identifier: ISC */
/*
 * The server's side of TLS: certificates, session tickets, names asked for, and the handshake.
 * Private keys are tlsmgr's (smtpd_tls_key_isolation = yes), or read here.
 */
#ifndef POSTRIDER_COMMON_TLS_SERVER_H
#define POSTRIDER_COMMON_TLS_SERVER_H

#include "common/config/config.h"
#include "common/net/ipc.h"
#include "common/net/stream.h"
#include "common/tls/info.h"

struct tls_server;

/* Is there any at all in the configuration? */
bool tls_server_has_certificate(const struct config *config);

/*
 * Before privileges are dropped.  `service` keeps the tickets of services apart: one that another has
 * issued is not taken.  `mandatory`: the protocols and ciphers of the levels above "may".
 */
struct tls_server *tls_server_create(const struct config *config, const char *service, bool mandatory,
				     struct err *err) MUST_USE;
void tls_server_free(struct tls_server **server);
/* In the sandbox: `connect` reaches tlsmgr. */
void tls_server_start(struct tls_server *server, ipc_connect_fn *connect);

/*
 * Shakes hands on the stream by its deadline; see tls_start.  False: *err says why, for the
 * log; the connection is of no use any more.
 */
bool tls_server_accept(struct tls_server *server, struct stream *s, struct tls_info *info, size_t *dropped,
		       struct err *err) MUST_USE;

#endif
