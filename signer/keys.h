/* SPDX-License-Identifier: ISC */
/* The private keys: read once, before privileges are dropped. */
#ifndef POSTRIDER_SIGNER_KEYS_H
#define POSTRIDER_SIGNER_KEYS_H

#include "authn/signer_proto.h"

/*
 * Reads all files DIR/DOMAIN/SELECTOR.pem.  A folder that is not there has no keys.  False: a file
 * that others may read or change, or that is no key: *err names it.
 */
bool keys_read(const char *directory, void (*seen)(const char *path), struct err *err) MUST_USE;
/* NULL: there is none. */
const struct dkim_private_key *keys_find(struct slice domain, struct slice selector);
size_t keys_count(void);
void keys_free(void);

#endif
