/* SPDX-License-Identifier: ISC */
/*
 * Having something signed by a key that only signer has.  Who speaks it: cleanup.
 *
 *   cleanup                            signer
 *   FIND address of From        ──►
 *                               ◄──    KEYS: those that sign for it, or none
 *   SIGN key, SHA-256           ──►
 *                               ◄──    SIGNED signature in base64, or REFUSED
 */
#ifndef POSTRIDER_AUTHN_SIGNER_PROTO_H
#define POSTRIDER_AUTHN_SIGNER_PROTO_H

#include "authn/dkim_sign.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol signer_protocol; /* "signer", 1 */

#define SIGNER_KEYS_MAX    4 /* for one message */
#define SIGNER_ADDRESS_MAX 1024
#define SIGNER_NAME_MAX    255

enum signer_type { SIGNER_FIND = 1, SIGNER_KEYS, SIGNER_SIGN, SIGNER_SIGNED, SIGNER_REFUSED };

struct signer_key {
	struct slice domain, selector;
	bool ed25519;
};

/* Suspend the task; memory is the arena's.  False: signer is away, or has refused. */
bool signer_find(struct ipc_client *client, struct slice address, double deadline,
		 struct arena *arena, struct signer_key keys[SIGNER_KEYS_MAX], size_t *count,
		 struct err *err) MUST_USE;
struct signer_request {
	const struct signer_key *key;
	const uint8_t *digest; /* CANON_DIGEST bytes */
};
/* Appends the signature in base64. */
bool signer_sign(struct ipc_client *client, const struct signer_request *request, double deadline,
		 struct str *base64, struct err *err) MUST_USE;

/* The server's side.  False on anything out of form. */
bool signer_get_find(const struct ipc_in *m, struct slice *address) MUST_USE;
bool signer_get_sign(const struct ipc_in *m, struct signer_key *key,
		     uint8_t digest[CANON_DIGEST]) MUST_USE;
bool signer_put_keys(struct ipc_out *m, uint32_t request, const struct signer_key *keys,
		     size_t count);
bool signer_put_signed(struct ipc_out *m, uint32_t request, struct slice base64);
bool signer_put_refused(struct ipc_out *m, uint32_t request, const char *text);
/* The client's, for the fuzzer too. */
bool signer_get_keys(const struct ipc_in *m, struct arena *arena,
		     struct signer_key keys[SIGNER_KEYS_MAX], size_t *count) MUST_USE;

#endif
