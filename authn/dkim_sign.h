/* SPDX-License-Identifier: ISC */
/* Signing by DKIM: private keys, and the DKIM-Signature fields of a message. */
#ifndef POSTRIDER_AUTHN_DKIM_SIGN_H
#define POSTRIDER_AUTHN_DKIM_SIGN_H

#include "authn/signature.h"

struct dkim_private_key {
	EVP_PKEY *pkey; /* NULL: somebody else has it, and `remote` asks them */
	bool ed25519;
	/* Appends the signature of a SHA-256 hash in base64. */
	bool (*remote)(void *context, const uint8_t digest[CANON_DIGEST], struct str *base64,
		       struct err *err);
	void *context;
};

/* PEM of RSA (1024 to 8192 bits) or Ed25519, without a passphrase.  False with ERR_SYNTAX. */
bool dkim_private_key_read(struct slice pem, struct dkim_private_key *key,
			   struct err *err) MUST_USE;
void dkim_private_key_free(struct dkim_private_key *key);
/* The value of the key record in DNS: "v=DKIM1; k=…; p=…". */
bool dkim_private_key_record(const struct dkim_private_key *key, struct str *record,
			     struct err *err) MUST_USE;
/* Do the private key and the key record in DNS belong together? */
bool dkim_private_key_matches(const struct dkim_private_key *key, const struct dkim_key *published);
/* Appends the signature of a SHA-256 hash in base64: the private operation alone. */
bool dkim_private_key_sign_digest(const struct dkim_private_key *key,
				  const uint8_t digest[CANON_DIGEST], struct str *base64,
				  struct err *err) MUST_USE;
/* Appends the signature of these bytes in base64. */
bool dkim_private_key_sign(const struct dkim_private_key *key, struct slice bytes,
			   struct str *base64, struct err *err) MUST_USE;

struct dkim_sign {
	const struct dkim_private_key *key;
	struct slice domain, selector;
	struct slice
	    headers; /* names, with separators ", " or ":": all their occurrences are signed */
	struct slice oversigned; /* of these one more than there are, so that none can be added */
	enum canon header_form, body_form;
	uint64_t time, expires; /* expires 0: never */
};

/* Before the body: its index in `bodies`; -1: too many forms. */
int dkim_sign_prepare(const struct dkim_sign *sign, struct canon_bodies *bodies);
/* Appends the whole field, CRLF lines of at most 78 bytes where that can be. */
bool dkim_sign_finish(const struct dkim_sign *sign, const struct canon_header *header,
		      const struct canon_bodies *bodies, int body, struct str *field,
		      struct err *err) MUST_USE;

/* --- what sealing by ARC shares --- */

/* Appends "name:name:…" of the header, folded. */
void dkim_sign_names(const struct dkim_sign *sign, const struct canon_header *header,
		     struct str *names);
/* Appends base64 in lines. */
void dkim_fold_base64(struct str *out, struct slice base64);

#endif
