/* SPDX-License-Identifier: ISC */
/*
 * tlsmgr, which holds the private keys of TLS, and those who shake hands (smtpd, smtp, lmtp):
 *
 *   client                                        tlsmgr
 *   SIGN key id, digest name, digest, pss   ──►
 *                                           ◄──   SIGNED signature, or REFUSED text
 *   CHAIN server name                       ──►
 *                                           ◄──   CHAINED certificates (PEM, each leaf first), none: no such name
 *   TICKETS                                 ──►
 *                                           ◄──   KEYS of session tickets, the newest first
 *
 * A key is named by the SHA-256 of its public half; a key itself never comes out.
 */
#ifndef POSTRIDER_COMMON_PROTO_TLSMGR_PROTO_H
#define POSTRIDER_COMMON_PROTO_TLSMGR_PROTO_H

#include "common/base/arena.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol tlsmgr_protocol;      /* "tlsmgr", 1 */

enum tlsmgr_type {
	TLSMGR_SIGN = 1, TLSMGR_SIGNED, TLSMGR_CHAIN, TLSMGR_CHAINED, TLSMGR_TICKETS, TLSMGR_KEYS, TLSMGR_REFUSED
};

#define TLSMGR_KEY_ID     32
#define TLSMGR_DIGEST_MAX 64
#define TLSMGR_NAME_MAX   255
#define TLSMGR_TICKET_KEYS 3

struct tlsmgr_sign {
	struct slice key;              /* TLSMGR_KEY_ID bytes */
	struct slice digest_name;      /* OpenSSL's name of it */
	struct slice digest;
	bool pss;
};

struct tlsmgr_ticket_key {
	uint8_t name[16], cipher[32], mac[32];
	double until;                  /* opens tickets until then, wall clock */
};

/* Each suspends the task.  ERR_PERMANENT: refused; else tlsmgr is away (ERR_TEMPORARY, ERR_TIMEOUT, ERR_CLOSED). */
bool tlsmgr_sign(struct ipc_client *client, struct ipc_link *link, const struct tlsmgr_sign *sign, double deadline,
		 struct arena *arena, struct slice *signature, struct err *err) MUST_USE;
bool tlsmgr_chain(struct ipc_client *client, struct slice server_name, double deadline, struct arena *arena,
		  struct slice *pem, struct err *err) MUST_USE;
/* *count of them, at most TLSMGR_TICKET_KEYS. */
bool tlsmgr_tickets(struct ipc_client *client, double deadline, struct tlsmgr_ticket_key keys[TLSMGR_TICKET_KEYS],
		    size_t *count, struct err *err) MUST_USE;

/* The server's side: false on anything out of form. */
bool tlsmgr_get_sign(const struct ipc_in *m, struct tlsmgr_sign *sign) MUST_USE;
bool tlsmgr_get_chain(const struct ipc_in *m, struct slice *server_name) MUST_USE;
bool tlsmgr_put_signed(struct ipc_out *m, uint32_t request, struct slice signature);
bool tlsmgr_put_chained(struct ipc_out *m, uint32_t request, struct slice pem);
bool tlsmgr_put_keys(struct ipc_out *m, uint32_t request, const struct tlsmgr_ticket_key *keys, size_t count);
bool tlsmgr_put_refused(struct ipc_out *m, uint32_t request, const char *text);

#endif
