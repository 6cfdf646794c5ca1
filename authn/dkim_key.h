/* SPDX-License-Identifier: ISC */
/* Public keys of DKIM in DNS (RFC 6376 §3.6, RFC 8463), and signatures by them. */
#ifndef POSTRIDER_AUTHN_DKIM_KEY_H
#define POSTRIDER_AUTHN_DKIM_KEY_H

#include <openssl/evp.h>

#include "authn/dns.h"

#define DKIM_RSA_MIN 1024 /* bits (RFC 8301) */
#define DKIM_RSA_MAX 8192

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1, DKIM_UNKNOWN_ALGORITHM };
enum dkim_key_status {
	DKIM_KEY_OK,
	DKIM_KEY_TEMPORARY,
	DKIM_KEY_NONE,
	DKIM_KEY_REVOKED,
	DKIM_KEY_MALFORMED
};

struct dkim_key {
	enum dkim_key_status status;
	EVP_PKEY *pkey; /* the caller frees; NULL unless OK */
	bool ed25519;
	int bits;
	bool testing; /* t=y */
	bool strict;  /* t=s: i= must be in d= itself */
	struct slice record;
	const char *reason; /* why it is not OK */
};

enum dkim_algorithm dkim_algorithm(struct slice name);
const char *dkim_algorithm_text(enum dkim_algorithm algorithm);
/* The text of a key record. */
void dkim_key_parse(struct slice record, struct arena *arena, struct dkim_key *key);
/* Asks for SELECTOR._domainkey.DOMAIN.  May suspend the task. */
void dkim_key_fetch(const struct authn_dns *dns, struct slice domain, struct slice selector,
		    struct arena *arena, struct dkim_key *key);
/* Is `signature` one of these bytes?  They are hashed here (Ed25519 signs the hash). */
bool dkim_key_verify(const struct dkim_key *key, struct slice signed_bytes,
		     struct slice signature) MUST_USE;

#endif
