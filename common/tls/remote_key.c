/* SPDX-License-Identifier: ISC */
#include "common/tls/remote_key.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/base/str.h"

#define PROVIDER   "postrider-key"
#define PROPERTIES "provider=" PROVIDER
#define PARAM_KEY  "postrider-key"       /* of import: a struct key to copy */

struct key {
	EVP_PKEY *public_key;            /* of OpenSSL's own provider */
	remote_key_sign *sign;           /* NULL: a public key that came in by import */
	void *context;
	unsigned char id[REMOTE_KEY_ID_SIZE];
};

struct signing {
	struct key *key;                 /* the EVP_PKEY's, which outlives us */
	EVP_MD_CTX *digest;
	bool pss;
};

bool remote_key_id(EVP_PKEY *key, unsigned char id[REMOTE_KEY_ID_SIZE])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, id, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

/* --- key management: all that is public is asked of the public key --- */

static void *key_new(void *provider)
{
	return mem_alloc(sizeof(struct key));
}

static void key_free(void *data)
{
	struct key *key = data;

	if (!key)
		return;
	EVP_PKEY_free(key->public_key);
	free(key);
}

static int key_has(const void *data, int selection)
{
	const struct key *key = data;

	return key->public_key && (key->sign || !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY));
}

static int key_match(const void *a, const void *b, int selection)
{
	return EVP_PKEY_eq(((const struct key *)a)->public_key, ((const struct key *)b)->public_key) == 1;
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
	return EVP_PKEY_get_params(((struct key *)data)->public_key, params);
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_END
	};

	return params;
}

/* A key of ours, or the parameters of a public key that is to be compared with one. */
static int key_import(struct key *key, const char *type, const OSSL_PARAM params[])
{
	const OSSL_PARAM *ours = OSSL_PARAM_locate_const(params, PARAM_KEY);
	EVP_PKEY_CTX *ctx;
	int ok;

	if (ours) {
		memcpy(key, ours->data, sizeof(*key));
		return EVP_PKEY_up_ref(key->public_key);
	}
	ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=default");
	ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
	     EVP_PKEY_fromdata(ctx, &key->public_key, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static int rsa_import(void *data, int selection, const OSSL_PARAM params[])
{
	return key_import(data, "RSA", params);
}

static int ec_import(void *data, int selection, const OSSL_PARAM params[])
{
	return key_import(data, "EC", params);
}

/* The public half only: a wish for all makes OpenSSL come back to our own signature. */
static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg)
{
	OSSL_PARAM *params = NULL;
	int ok;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	ok = EVP_PKEY_todata(((struct key *)data)->public_key, EVP_PKEY_PUBLIC_KEY, &params) == 1 &&
	     callback(params, arg);
	OSSL_PARAM_free(params);
	return ok;
}

static const OSSL_PARAM *key_types(int selection)
{
	static const OSSL_PARAM params[] = { OSSL_PARAM_octet_string(PARAM_KEY, NULL, 0), OSSL_PARAM_END };

	return params;
}

static const char *rsa_operation(int operation)
{
	return "RSA";
}

static const char *ec_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

#define FUNCTION(id, fn) { id, (void (*)(void))(fn) }
#define KEY_MANAGEMENT(import, operation)                                      \
	{                                                                      \
		FUNCTION(OSSL_FUNC_KEYMGMT_NEW, key_new),                      \
		FUNCTION(OSSL_FUNC_KEYMGMT_FREE, key_free),                    \
		FUNCTION(OSSL_FUNC_KEYMGMT_HAS, key_has),                      \
		FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, key_match),                  \
		FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),        \
		FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),     \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, import),                    \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),           \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),           \
		FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),   \
		{ 0, NULL }                                                    \
	}

static const OSSL_DISPATCH rsa_management[] = KEY_MANAGEMENT(rsa_import, rsa_operation);
static const OSSL_DISPATCH ec_management[] = KEY_MANAGEMENT(ec_import, ec_operation);

/* --- signatures --- */

static void *signing_new(void *provider, const char *properties)
{
	return mem_alloc(sizeof(struct signing));
}

static void signing_free(void *data)
{
	struct signing *s = data;

	if (!s)
		return;
	EVP_MD_CTX_free(s->digest);
	free(s);
}

static int signing_set_params(void *data, const OSSL_PARAM params[])
{
	struct signing *s = data;
	const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	int mode;

	if (!p)
		return 1;
	if (p->data_type == OSSL_PARAM_UTF8_STRING) {
		s->pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
		return s->pss || strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
	}
	if (!OSSL_PARAM_get_int(p, &mode))
		return 0;
	s->pss = mode == RSA_PKCS1_PSS_PADDING;
	return s->pss || mode == RSA_PKCS1_PADDING;
}

static const OSSL_PARAM *signing_settable(void *data, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		/* Always the digest's length, which is what TLS asks for. */
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END
	};

	return params;
}

static int signing_init(void *data, const char *digest_name, void *key, const OSSL_PARAM params[])
{
	struct signing *s = data;
	EVP_MD *md = EVP_MD_fetch(NULL, digest_name ? digest_name : "SHA2-256", NULL);
	int ok;

	s->key = key;
	EVP_MD_CTX_free(s->digest);
	s->digest = EVP_MD_CTX_new();
	ok = md && s->digest && EVP_DigestInit_ex2(s->digest, md, NULL) == 1;
	EVP_MD_free(md);
	return ok && signing_set_params(s, params);
}

static int signing_update(void *data, const unsigned char *bytes, size_t len)
{
	return EVP_DigestUpdate(((struct signing *)data)->digest, bytes, len);
}

static int signing_final(void *data, unsigned char *signature, size_t *len, size_t room)
{
	struct signing *s = data;
	struct remote_key_request request = { .pss = s->pss };
	unsigned char digest[EVP_MAX_MD_SIZE], result[REMOTE_KEY_SIGNATURE_MAX];
	size_t result_len = 0;
	unsigned digest_len;

	if (!signature) {
		*len = (size_t)EVP_PKEY_get_size(s->key->public_key);
		return 1;
	}
	request.digest_name = EVP_MD_get0_name(EVP_MD_CTX_get0_md(s->digest));
	if (!s->key->sign || EVP_DigestFinal_ex(s->digest, digest, &digest_len) != 1)
		return 0;
	memcpy(request.key, s->key->id, sizeof(request.key));
	request.digest = slice_make(digest, digest_len);
	if (!s->key->sign(s->key->context, &request, result, &result_len) || result_len == 0 || result_len > room)
		return 0;
	memcpy(signature, result, result_len);
	*len = result_len;
	return 1;
}

/* In one call, which is how TLS signs. */
static int signing_whole(void *data, unsigned char *signature, size_t *len, size_t room, const unsigned char *bytes,
			 size_t count)
{
	return (!signature || signing_update(data, bytes, count)) && signing_final(data, signature, len, room);
}

static const OSSL_DISPATCH signature_functions[] = {
	FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, signing_update),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, signing_final),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_whole),
	FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set_params),
	FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{ 0, NULL }
};

/* --- the provider --- */

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM management[] = {
		{ "RSA:rsaEncryption", PROPERTIES, rsa_management, "RSA key elsewhere" },
		{ "EC:id-ecPublicKey", PROPERTIES, ec_management, "EC key elsewhere" },
		{ NULL, NULL, NULL, NULL }
	};
	static const OSSL_ALGORITHM signatures[] = {
		{ "RSA:rsaEncryption", PROPERTIES, signature_functions, "RSA signature elsewhere" },
		{ "ECDSA", PROPERTIES, signature_functions, "ECDSA signature elsewhere" },
		{ NULL, NULL, NULL, NULL }
	};

	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? management : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
			 void **context)
{
	static const OSSL_DISPATCH functions[] = { FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), { 0, NULL } };

	*out = functions;
	*context = (void *)(uintptr_t)handle;
	return 1;
}

/* Whoever does not ask for us gets OpenSSL's own. */
static bool load_provider(void)
{
	static OSSL_PROVIDER *standard, *ours;

	if (!standard)
		standard = OSSL_PROVIDER_load(NULL, "default");
	if (!ours && OSSL_PROVIDER_add_builtin(NULL, PROVIDER, provider_init) == 1)
		ours = OSSL_PROVIDER_load(NULL, PROVIDER);
	return standard && ours && EVP_set_default_properties(NULL, "?provider=default") == 1;
}

EVP_PKEY *remote_key_create(EVP_PKEY *public_key, remote_key_sign *sign, void *context, struct err *err)
{
	struct key key = { .public_key = public_key, .sign = sign, .context = context };
	const char *type = EVP_PKEY_is_a(public_key, "RSA") ? "RSA" : EVP_PKEY_is_a(public_key, "EC") ? "EC" : NULL;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(PARAM_KEY, &key, sizeof(key)), OSSL_PARAM_END };
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *made = NULL;

	if (!type || !remote_key_id(public_key, key.id)) {
		err_set(err, ERR_PERMANENT, "the key is neither RSA nor EC");
		return NULL;
	}
	if (!load_provider()) {
		err_set(err, ERR_PERMANENT, "OpenSSL does not take our key provider");
		return NULL;
	}
	ctx = EVP_PKEY_CTX_new_from_name(NULL, type, PROPERTIES);
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) != 1)
		err_set(err, ERR_PERMANENT, "OpenSSL does not take a key of ours");
	EVP_PKEY_CTX_free(ctx);
	return made;
}

/* --- the other side --- */

bool remote_key_answer(EVP_PKEY *private_key, const struct remote_key_request *request, unsigned char *signature,
		       size_t *len)
{
	EVP_MD *md = EVP_MD_fetch(NULL, request->digest_name, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, private_key, NULL);
	bool ok = md && ctx && request->digest.len == (size_t)EVP_MD_get_size(md) &&
		  EVP_PKEY_get_size(private_key) <= REMOTE_KEY_SIGNATURE_MAX && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;

	if (ok && EVP_PKEY_is_a(private_key, "RSA"))
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, request->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1 &&
		     (!request->pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
	*len = REMOTE_KEY_SIGNATURE_MAX;
	ok = ok && EVP_PKEY_sign(ctx, signature, len, (const unsigned char *)request->digest.ptr,
				 request->digest.len) == 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_MD_free(md);
	return ok;
}
