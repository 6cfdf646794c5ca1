/* SPDX-License-Identifier: ISC */
#include "common/sasl/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "common/sasl/scram.h"

#define SALT_BYTES 16

static bool is_locked(struct slice stored)
{
	return stored.len > 0 && (stored.ptr[0] == '!' || stored.ptr[0] == '*');
}

static bool is_scram(struct slice stored)
{
	return slice_starts(stored, SLICE("SCRAM-"));
}

static bool is_crypt(struct slice stored)
{
	char *text;
	int result;

	/* Any two letters are a salt of DES: a password in clear must not pass for a hash. */
	if (stored.ptr[0] != '$' && stored.len != (stored.ptr[0] == '_' ? 20 : 13))
		return false;
	text = mem_slicedup(stored);
	result = crypt_checksalt(text);
	free(text);
	return result == CRYPT_SALT_OK || result == CRYPT_SALT_METHOD_LEGACY;
}

bool password_usable(struct slice stored)
{
	struct scram_keys keys;

	if (stored.len == 0 || memchr(stored.ptr, '\0', stored.len))
		return false;
	return is_locked(stored) || (is_scram(stored) ? scram_keys_parse(stored, &keys) : is_crypt(stored));
}

static enum password_result verify_scram(struct slice stored, struct slice password)
{
	struct scram_keys keys, mine;
	bool right;

	if (!scram_keys_parse(stored, &keys))
		return PASSWORD_UNUSABLE;
	mine = keys;
	right = scram_keys_derive(&mine, password) &&
		CRYPTO_memcmp(mine.stored_key, keys.stored_key, scram_hash_size(keys.hash)) == 0;
	OPENSSL_cleanse(&mine, sizeof(mine));
	return right ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

static bool equal(const char *a, const char *b)
{
	size_t len = strlen(a);

	return strlen(b) == len && CRYPTO_memcmp(a, b, len) == 0;
}

static enum password_result verify_crypt(struct slice stored, struct slice password)
{
	/* 32 KiB, and it holds the password afterwards. */
	struct crypt_data *data = mem_alloc(sizeof(*data));
	char *setting = mem_slicedup(stored), *phrase = mem_slicedup(password);
	const char *hash = crypt_rn(phrase, setting, data, (int)sizeof(*data));
	bool right = hash && hash[0] != '*' && equal(hash, setting);

	OPENSSL_cleanse(phrase, password.len);
	OPENSSL_cleanse(data, sizeof(*data));
	free(phrase);
	free(setting);
	free(data);
	return right ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

enum password_result password_verify(struct slice stored, struct slice password)
{
	if (!password_usable(stored))
		return PASSWORD_UNUSABLE;
	/* crypt(3) would take what stands before the NUL. */
	if (is_locked(stored) || (password.len && memchr(password.ptr, '\0', password.len)))
		return PASSWORD_WRONG;
	return is_scram(stored) ? verify_scram(stored, password) : verify_crypt(stored, password);
}

static bool hash_crypt(const char *prefix, struct slice password, struct str *out, struct err *err)
{
	struct crypt_data *data = mem_alloc(sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	char *phrase = mem_slicedup(password);
	const char *hash = NULL;

	if (crypt_gensalt_rn(prefix, 0, NULL, 0, setting, (int)sizeof(setting)))
		hash = crypt_rn(phrase, setting, data, (int)sizeof(*data));
	if (hash && hash[0] != '*')
		str_append_text(out, hash);
	else
		hash = NULL;
	OPENSSL_cleanse(phrase, password.len);
	OPENSSL_cleanse(data, sizeof(*data));
	free(phrase);
	free(data);
	return hash || err_set(err, ERR_PERMANENT, "crypt(3) does not hash this with %s", prefix);
}

static bool hash_scram(struct slice password, struct str *out, struct err *err)
{
	struct scram_keys keys = { .hash = SCRAM_SHA_256, .iterations = SCRAM_ITERATIONS, .salt_len = SALT_BYTES };

	if (RAND_bytes(keys.salt, SALT_BYTES) != 1 || !scram_keys_derive(&keys, password))
		return err_set(err, ERR_TEMPORARY, "cannot derive SCRAM keys");
	scram_keys_format(&keys, out);
	return true;
}

bool password_hash(const char *scheme, struct slice password, struct str *out, struct err *err)
{
	static const struct {
		const char *scheme, *prefix;
	} prefixes[] = { { "yescrypt", "$y$" }, { "bcrypt", "$2b$" }, { "sha512", "$6$" } };

	if (password.len == 0 || memchr(password.ptr, '\0', password.len))
		return err_set(err, ERR_SYNTAX, "a password is neither empty nor has NUL in it");
	if (strcmp(scheme, "scram-sha-256") == 0)
		return hash_scram(password, out, err);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strcmp(scheme, prefixes[i].scheme) == 0)
			return hash_crypt(prefixes[i].prefix, password, out, err);
	return err_set(err, ERR_SYNTAX, "\"%s\" is none of yescrypt, bcrypt, sha512, scram-sha-256", scheme);
}
