/* SPDX-License-Identifier: ISC */
#include "common/sasl/library.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

bool sasl_library_prepare(struct err *err)
{
	unsigned char random[8], key[32];

	json_object_seed(0);
	if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1 || RAND_bytes(random, sizeof(random)) != 1 ||
	    PKCS5_PBKDF2_HMAC("x", 1, random, sizeof(random), 1, EVP_sha256(), sizeof(key), key) != 1)
		return err_set(err, ERR_TEMPORARY, "OpenSSL cannot be used");
	return true;
}
