/* SPDX-License-Identifier: ISC */
/* The certification authorities that a context trusts. */
#ifndef POSTRIDER_COMMON_TLS_AUTHORITIES_H
#define POSTRIDER_COMMON_TLS_AUTHORITIES_H

#include <openssl/ssl.h>

#include "common/base/err.h"

/*
 * Reads a file, all files of a folder ("": none), and the system's own when `system` is set: now and
 * whole, because the process that verifies sees no files later.
 */
bool tls_authorities_load(SSL_CTX *ctx, const char *file, const char *folder, bool system, struct err *err) MUST_USE;

#endif
