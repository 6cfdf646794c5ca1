/* SPDX-License-Identifier: ISC */
#include "authn/dkim_key.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "authn/tags.h"

#define ED25519_KEY 32

enum dkim_algorithm dkim_algorithm(struct slice name)
{
	return slice_eq_nocase(name, SLICE("rsa-sha256"))       ? DKIM_RSA_SHA256
	       : slice_eq_nocase(name, SLICE("ed25519-sha256")) ? DKIM_ED25519_SHA256
	       : slice_eq_nocase(name, SLICE("rsa-sha1"))       ? DKIM_RSA_SHA1
								: DKIM_UNKNOWN_ALGORITHM;
}

const char *dkim_algorithm_text(enum dkim_algorithm algorithm)
{
	static const char *const texts[] = {"rsa-sha256", "ed25519-sha256", "rsa-sha1", "unknown"};

	return texts[algorithm];
}

static void give_up(struct dkim_key *key, enum dkim_key_status status, const char *reason)
{
	key->status = status;
	key->reason = reason;
}

/* SubjectPublicKeyInfo, or, as some publish it, the bare RSAPublicKey. */
static EVP_PKEY *read_rsa(struct slice bytes)
{
	const unsigned char *at = (const unsigned char *)bytes.ptr;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)bytes.len);

	if (!pkey) {
		at = (const unsigned char *)bytes.ptr;
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)bytes.len);
	}
	ERR_clear_error();
	if (pkey && EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return pkey;
}

static void read_key(struct slice p, struct dkim_key *key)
{
	struct str bytes = {0};

	if (tags_base64(p, &bytes) && bytes.len > 0 && bytes.len <= 4096) {
		if (!key->ed25519)
			key->pkey = read_rsa(str_slice(&bytes));
		else if (bytes.len == ED25519_KEY)
			key->pkey = EVP_PKEY_new_raw_public_key(
			    EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.data, bytes.len);
	}
	str_free(&bytes);
	if (!key->pkey) {
		give_up(key, DKIM_KEY_MALFORMED, "the key in DNS is malformed");
		return;
	}
	key->bits = EVP_PKEY_get_bits(key->pkey);
	if (!key->ed25519 && key->bits < DKIM_RSA_MIN)
		give_up(key, DKIM_KEY_MALFORMED, "the key is shorter than 1024 bits");
	else if (!key->ed25519 && key->bits > DKIM_RSA_MAX)
		give_up(key, DKIM_KEY_MALFORMED, "the key is longer than 8192 bits");
	if (key->status != DKIM_KEY_OK) {
		EVP_PKEY_free(key->pkey);
		key->pkey = NULL;
	}
}

static bool allows(struct slice list, const char *word)
{
	return !list.ptr || tags_list_has(list, ':', word) || tags_list_has(list, ':', "*");
}

void dkim_key_parse(struct slice record, struct arena *arena, struct dkim_key *key)
{
	struct tags *tags = arena_alloc(arena, sizeof(*tags));
	struct slice v, k, p;

	*key = (struct dkim_key){.record = record};
	if (!tags_parse(record, tags, NULL)) {
		give_up(key, DKIM_KEY_MALFORMED, "the key record in DNS is malformed");
		return;
	}
	v = tags_get(tags, "v");
	k = tags_get(tags, "k");
	p = tags_get(tags, "p");
	key->ed25519 = slice_eq_nocase(k, SLICE("ed25519"));
	key->testing = tags_list_has(tags_get(tags, "t"), ':', "y");
	key->strict = tags_list_has(tags_get(tags, "t"), ':', "s");
	if (v.ptr && (!slice_eq(v, SLICE("DKIM1")) || !slice_eq(tags->tag[0].name, SLICE("v"))))
		give_up(key, DKIM_KEY_MALFORMED, "the key record in DNS is of an unknown version");
	else if (k.ptr && !key->ed25519 && !slice_eq_nocase(k, SLICE("rsa")))
		give_up(key, DKIM_KEY_MALFORMED, "the key in DNS is of an unknown type");
	else if (!p.ptr)
		give_up(key, DKIM_KEY_MALFORMED, "the key record in DNS has no key");
	else if (p.len == 0)
		give_up(key, DKIM_KEY_REVOKED, "the key is revoked");
	else if (!allows(tags_get(tags, "h"), "sha256"))
		give_up(key, DKIM_KEY_MALFORMED, "the key record in DNS does not allow sha256");
	else if (!allows(tags_get(tags, "s"), "email"))
		give_up(key, DKIM_KEY_MALFORMED, "the key record in DNS is not for mail");
	else
		read_key(p, key);
}

void dkim_key_fetch(const struct authn_dns *dns, struct slice domain, struct slice selector,
		    struct arena *arena, struct dkim_key *key)
{
	struct slice name = slice_of(
	    arena_printf(arena, "%.*s._domainkey.%.*s", SLICE_FMT(selector), SLICE_FMT(domain)));
	struct dns_answer answer;

	authn_query(dns, name, DNS_TXT, arena, &answer);
	*key = (struct dkim_key){0};
	if (authn_dns_failed(&answer)) {
		give_up(key, DKIM_KEY_TEMPORARY, "no answer now for the key in DNS");
		return;
	}
	give_up(key, DKIM_KEY_NONE, "there is no key in DNS");
	/* Of several records the first usable one counts. */
	for (size_t i = 0; i < answer.count && key->status != DKIM_KEY_OK; i++)
		dkim_key_parse(answer.records[i].data, arena, key);
}

bool dkim_key_verify(const struct dkim_key *key, struct slice signed_bytes, struct slice signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char hash[SHA256_DIGEST_LENGTH];
	struct slice data = signed_bytes;
	bool ok;

	if (key->ed25519) {
		SHA256((const unsigned char *)signed_bytes.ptr, signed_bytes.len, hash);
		data = slice_make(hash, sizeof(hash));
	}
	ok = ctx &&
	     EVP_DigestVerifyInit(ctx, NULL, key->ed25519 ? NULL : EVP_sha256(), NULL, key->pkey) ==
		 1 &&
	     EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
			      (const unsigned char *)data.ptr, data.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}
