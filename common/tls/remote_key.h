/* SPDX-License-Identifier: ISC */
/*
 * A private key that is somewhere else: OpenSSL gets an EVP_PKEY that knows the public half, and asks a
 * function for each signature.  What goes out is a digest with the name of its algorithm and
 * the padding, never a raw operation: who has taken this process over cannot use the key for anything
 * but signatures, and cannot have it.
 *
 * Made as an OpenSSL 3 provider of our own, for RSA and EC keys.
 */
#ifndef POSTRIDER_COMMON_TLS_REMOTE_KEY_H
#define POSTRIDER_COMMON_TLS_REMOTE_KEY_H

#include <openssl/evp.h>

#include "common/base/err.h"
#include "common/base/slice.h"

#define REMOTE_KEY_ID_SIZE       32      /* SHA-256 of the public key (its SubjectPublicKeyInfo) */
#define REMOTE_KEY_SIGNATURE_MAX 1024    /* RSA up to 8192 bits */

struct remote_key_request {
	unsigned char key[REMOTE_KEY_ID_SIZE];
	const char *digest_name;         /* OpenSSL's: "SHA2-256" */
	struct slice digest;
	bool pss;                        /* RSA: PSS with a salt as long as the digest, else PKCS #1 v1.5 */
};

/* May suspend the task.  Writes at most REMOTE_KEY_SIGNATURE_MAX bytes; false fails the handshake. */
typedef bool remote_key_sign(void *context, const struct remote_key_request *request, unsigned char *signature,
			     size_t *len);

/* The name of a key: false only when memory is out or the key has no public half. */
bool remote_key_id(EVP_PKEY *key, unsigned char id[REMOTE_KEY_ID_SIZE]);
/* The caller frees the result (EVP_PKEY_free).  NULL: neither RSA nor EC. */
EVP_PKEY *remote_key_create(EVP_PKEY *public_key, remote_key_sign *sign, void *context, struct err *err) MUST_USE;

/* The other side: signs a request's digest with the key itself. */
bool remote_key_answer(EVP_PKEY *private_key, const struct remote_key_request *request, unsigned char *signature,
		       size_t *len);

#endif
