/* SPDX-License-Identifier: ISC */
/*
 * Certificate chains and private keys in PEM.  Certificates are read without a look at keys that
 * stand in the same file: not a byte of these comes into our memory (the file is mapped, not read).
 */
#ifndef POSTRIDER_COMMON_TLS_CHAIN_H
#define POSTRIDER_COMMON_TLS_CHAIN_H

#include <openssl/x509.h>

#include "common/base/err.h"
#include "common/base/slice.h"

#define CHAIN_MAX 8      /* chains of one server: one a kind of key */

struct chain {
	X509 *leaf;
	STACK_OF(X509) *others;  /* in order, may be empty */
};

struct chain_list {
	struct chain chain[CHAIN_MAX];
	size_t count;
};

/*
 * Adds the chains in the text: the first certificate of each is the leaf; another begins
 * behind each private key.  `where` is for messages.
 */
bool chain_parse(struct chain_list *list, struct slice pem, const char *where, struct err *err) MUST_USE;
bool chain_read_file(struct chain_list *list, const char *path, struct err *err) MUST_USE;
void chain_list_free(struct chain_list *list);

/* Calls fn for each private key in the text; fn owns it.  None is an error. */
bool chain_keys(struct slice pem, const char *where, void (*fn)(EVP_PKEY *key, void *context), void *context,
		struct err *err) MUST_USE;

#endif
