/* SPDX-License-Identifier: ISC */
/* The private keys that tlsmgr holds, by the SHA-256 of their public half. */
#ifndef POSTRIDER_TLSMGR_KEYS_H
#define POSTRIDER_TLSMGR_KEYS_H

#include <openssl/evp.h>

#include "common/base/err.h"
#include "common/base/slice.h"

/* All keys in the file; one that is known already is kept once. */
bool keys_read_file(const char *path, struct err *err) MUST_USE;
/* The same from PEM text. */
bool keys_read(struct slice pem, const char *where, struct err *err) MUST_USE;
EVP_PKEY *keys_find(struct slice id);       /* NULL: we do not have it; stays ours */
size_t keys_count(void);
void keys_free(void);

#endif
