/* SPDX-License-Identifier: ISC */
/* What became of a handshake: for the log, the Received field and restrictions. */
#ifndef POSTRIDER_COMMON_TLS_INFO_H
#define POSTRIDER_COMMON_TLS_INFO_H

#include <openssl/ssl.h>

#include "common/base/str.h"

struct tls_info {
	const char *protocol;            /* "TLSv1.3"; NULL: no TLS */
	const char *cipher;
	int bits, algorithm_bits;
	char key_exchange[64];           /* "X25519", "ECDHE (P-256)"; empty when not known */
	char server_signature[64];       /* "RSA-PSS (2048 bits)" */
	char client_signature[64];
	char server_digest[32], client_digest[32];
	bool resumed;
	bool has_peer;                   /* the other side has shown a certificate */
	bool trusted;                    /* and it leads to an authority that we trust */
	char peer_name[256];             /* its common name, made printable */
	char peer_issuer[256];
	char certificate_fingerprint[200], key_fingerprint[200];  /* "AB:CD:…", by the digest asked for */
	char server_name[256];           /* SNI */
};

/* `digest`: of fingerprints, OpenSSL's name ("sha256"). */
void tls_info_fill(struct tls_info *info, SSL *ssl, const char *digest);
/* "TLSv1.3 with cipher … (256/256 bits) key-exchange … server-digest …", as in Postfix's log. */
void tls_info_describe(struct str *out, const struct tls_info *info);

#endif
