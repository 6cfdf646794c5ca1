/* SPDX-License-Identifier: ISC */
/* What main.cf says of protocols and ciphers, put into an SSL_CTX: postconf(5)'s smtpd_tls_, smtp_tls_ and tls_ parameters. */
#ifndef POSTRIDER_COMMON_TLS_PROFILE_H
#define POSTRIDER_COMMON_TLS_PROFILE_H

#include <openssl/ssl.h>

#include "common/config/config.h"

struct tls_profile {
	const char *protocols;       /* ">=TLSv1.2", "!SSLv3, !TLSv1" */
	const char *grade;           /* "high", "medium", "null" */
	const char *exclude;         /* cipher names and kinds to leave out */
};

/* The parameters of `prefix` ("smtpd_tls_", "smtp_tls_", "lmtp_tls_"); of the mandatory levels or of "may". */
struct tls_profile tls_profile_of(const struct config *config, const char *prefix, bool mandatory);
/* Protocols, ciphers, groups and options; the error names the word that is wrong. */
bool tls_profile_apply(const struct tls_profile *profile, const struct config *config, SSL_CTX *ctx, struct err *err) MUST_USE;

#endif
