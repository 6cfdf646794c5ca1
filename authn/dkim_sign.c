/* SPDX-License-Identifier: ISC */
#include "authn/dkim_sign.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "common/sasl/base64.h"

#define LINE_LENGTH 72

/* --- keys --- */

static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	return -1;
}

bool dkim_private_key_read(struct slice pem, struct dkim_private_key *key, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	int kind, bits;

	*key = (struct dkim_private_key){0};
	key->pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (!key->pkey)
		return err_set(err, ERR_SYNTAX, "no private key in PEM form without a passphrase");
	kind = EVP_PKEY_get_base_id(key->pkey);
	bits = EVP_PKEY_get_bits(key->pkey);
	key->ed25519 = kind == EVP_PKEY_ED25519;
	if (key->ed25519 || (kind == EVP_PKEY_RSA && bits >= DKIM_RSA_MIN && bits <= DKIM_RSA_MAX))
		return true;
	dkim_private_key_free(key);
	return err_set(err, ERR_SYNTAX, "the key is neither RSA of 1024 to 8192 bits nor Ed25519");
}

void dkim_private_key_free(struct dkim_private_key *key)
{
	EVP_PKEY_free(key->pkey);
	key->pkey = NULL;
}

bool dkim_private_key_record(const struct dkim_private_key *key, struct str *record,
			     struct err *err)
{
	unsigned char raw[32], *der = NULL;
	size_t raw_len = sizeof(raw);
	int len = 0;

	str_printf(record, "v=DKIM1; k=%s; p=", key->ed25519 ? "ed25519" : "rsa");
	if (key->ed25519 && EVP_PKEY_get_raw_public_key(key->pkey, raw, &raw_len) == 1) {
		base64_encode(slice_make(raw, raw_len), record);
		return true;
	}
	if (!key->ed25519 && (len = i2d_PUBKEY(key->pkey, &der)) > 0) {
		base64_encode(slice_make(der, (size_t)len), record);
		OPENSSL_free(der);
		return true;
	}
	ERR_clear_error();
	return err_set(err, ERR_PERMANENT, "the public half of the key cannot be had");
}

bool dkim_private_key_matches(const struct dkim_private_key *key, const struct dkim_key *published)
{
	bool same = published->pkey && EVP_PKEY_eq(key->pkey, published->pkey) == 1;

	ERR_clear_error();
	return same;
}

/* Ed25519 signs the hash as its message (RFC 8463). */
static bool sign_ed25519(EVP_PKEY *pkey, const uint8_t digest[CANON_DIGEST],
			 unsigned char *signature, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestSign(ctx, signature, len, digest, CANON_DIGEST) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool sign_rsa(EVP_PKEY *pkey, const uint8_t digest[CANON_DIGEST], unsigned char *signature,
		     size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_sign(ctx, signature, len, digest, CANON_DIGEST) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

bool dkim_private_key_sign_digest(const struct dkim_private_key *key,
				  const uint8_t digest[CANON_DIGEST], struct str *base64,
				  struct err *err)
{
	unsigned char signature[DKIM_RSA_MAX / 8];
	size_t len = sizeof(signature);
	bool ok = (key->ed25519 ? sign_ed25519 : sign_rsa)(key->pkey, digest, signature, &len);

	ERR_clear_error();
	if (!ok)
		return err_set(err, ERR_TEMPORARY, "the signature cannot be made");
	base64_encode(slice_make(signature, len), base64);
	return true;
}

bool dkim_private_key_sign(const struct dkim_private_key *key, struct slice bytes,
			   struct str *base64, struct err *err)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)bytes.ptr, bytes.len, digest);
	return key->remote ? key->remote(key->context, digest, base64, err)
			   : dkim_private_key_sign_digest(key, digest, base64, err);
}

/* --- text --- */

void dkim_fold_base64(struct str *out, struct slice base64)
{
	for (size_t at = 0; at < base64.len; at += LINE_LENGTH) {
		if (at > 0)
			str_append_text(out, "\r\n\t");
		str_append(out, slice_sub(base64, at, LINE_LENGTH));
	}
}

static bool listed(struct slice list, struct slice name)
{
	struct slice word;

	while (slice_word(&list, ", \t\r\n:", &word))
		if (slice_eq_nocase(word, name))
			return true;
	return false;
}

static void add_name(struct str *names, size_t *line, struct slice name)
{
	if (names->len > 0)
		str_append_byte(names, ':');
	if (*line + name.len > LINE_LENGTH) {
		str_append_text(names, "\r\n\t");
		*line = 0;
	}
	str_append_lower(names, name);
	*line += name.len + 1;
}

void dkim_sign_names(const struct dkim_sign *sign, const struct canon_header *header,
		     struct str *names)
{
	struct slice list = sign->headers, name, before;
	size_t line = 0;

	while (slice_word(&list, ", \t\r\n:", &name)) {
		size_t count = listed(sign->oversigned, name);

		before = slice_make(sign->headers.ptr, (size_t)(name.ptr - sign->headers.ptr));
		if (listed(before, name))
			continue;
		for (size_t i = 0; i < header->count; i++)
			count += slice_eq_nocase(header->field[i].name, name);
		while (count-- > 0)
			add_name(names, &line, name);
	}
}

/* --- DKIM-Signature --- */

int dkim_sign_prepare(const struct dkim_sign *sign, struct canon_bodies *bodies)
{
	return canon_bodies_want(bodies, sign->body_form, UINT64_MAX);
}

static const char *form_text(enum canon form)
{
	return form == CANON_RELAXED ? "relaxed" : "simple";
}

bool dkim_sign_finish(const struct dkim_sign *sign, const struct canon_header *header,
		      const struct canon_bodies *bodies, int body, struct str *field,
		      struct err *err)
{
	struct str names = {0}, text = {0}, bytes = {0}, b = {0};
	uint8_t digest[CANON_DIGEST];
	uint64_t length;
	bool ok;

	dkim_sign_names(sign, header, &names);
	canon_bodies_digest(bodies, body, digest, &length);
	str_printf(&text, "DKIM-Signature: v=1; a=%s; c=%s/%s;\r\n\td=%.*s; s=%.*s;\r\n\tt=%llu; ",
		   sign->key->ed25519 ? "ed25519-sha256" : "rsa-sha256",
		   form_text(sign->header_form), form_text(sign->body_form),
		   SLICE_FMT(sign->domain), SLICE_FMT(sign->selector),
		   (unsigned long long)sign->time);
	if (sign->expires)
		str_printf(&text, "x=%llu; ", (unsigned long long)sign->expires);
	str_append_text(&text, "bh=");
	base64_encode(slice_make(digest, sizeof(digest)), &text);
	str_printf(&text, ";\r\n\th=%s;\r\n\tb=", str_cstr(&names));

	struct signature s = {.kind = SIGNATURE_DKIM,
			      .whole = str_slice(&text),
			      .header_form = sign->header_form,
			      .headers = str_slice(&names),
			      .b_raw = slice_make(text.data + text.len, 0)};

	signature_header_bytes(&s, header, SIZE_MAX, &bytes);
	ok = dkim_private_key_sign(sign->key, str_slice(&bytes), &b, err);
	if (ok) {
		str_append(field, str_slice(&text));
		dkim_fold_base64(field, str_slice(&b));
		str_append_text(field, "\r\n");
	}
	str_free(&names);
	str_free(&text);
	str_free(&bytes);
	str_free(&b);
	return ok;
}
