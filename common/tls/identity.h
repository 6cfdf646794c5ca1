/* SPDX-License-Identifier: ISC */
/* Certificates of our own, and where their private keys are: with tlsmgr, or in this process. */
#ifndef POSTRIDER_COMMON_TLS_IDENTITY_H
#define POSTRIDER_COMMON_TLS_IDENTITY_H

#include <openssl/ssl.h>

#include "common/base/arena.h"
#include "common/config/config.h"
#include "common/net/ipc.h"
#include "common/tls/chain.h"

/* Files of certificates and keys, in pairs; keys equal certificates where one file has both. */
struct tls_files {
	struct { const char *certificates, *keys; } pair[CHAIN_MAX];
	size_t count;
};
/* What the parameters of `prefix` ("smtpd_tls_", "smtp_tls_", "lmtp_tls_") name.  Memory is `arena`'s. */
void tls_files_of(const struct config *config, const char *prefix, struct arena *arena, struct tls_files *files);

/*
 * Who signs for keys that are elsewhere; must outlive the contexts.  Without a client handshakes
 * fail.  The link is held: the tlsmgr that has the keys of our certificates stays as long as we do,
 * also when there is a newer one with newer keys.
 */
struct tls_signer {
	struct ipc_client *tlsmgr;
	struct ipc_link *link;
};
void tls_signer_free(struct tls_signer *signer);

/* The chains of a list, their keys with tlsmgr. */
bool tls_identity_remote(SSL_CTX *ctx, const struct chain_list *list, struct tls_signer *signer, struct err *err) MUST_USE;
/* The files; `signer` NULL: private keys are read into this process. */
bool tls_identity_load(SSL_CTX *ctx, const struct tls_files *files, struct tls_signer *signer, struct err *err) MUST_USE;

#endif
