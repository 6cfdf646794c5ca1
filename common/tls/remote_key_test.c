/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/tls/remote_key.h"

static int signatures;
static bool refuse;

static bool sign(void *context, const struct remote_key_request *request, unsigned char *signature, size_t *len)
{
	unsigned char id[REMOTE_KEY_ID_SIZE];

	signatures++;
	assert_true(remote_key_id(context, id));
	assert_memory_equal(id, request->key, sizeof(id));
	return !refuse && remote_key_answer(context, request, signature, len);
}

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

/* Both ends in memory; true when both are through. */
static bool shake_hands(SSL *server, SSL *client)
{
	BIO *a, *b;

	BIO_new_bio_pair(&a, 0, &b, 0);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 20; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

		if (c == 1 && s == 1)
			return true;
		if (SSL_get_error(server, s) == SSL_ERROR_SSL)
			break;
	}
	return false;
}

static bool talk(EVP_PKEY *key, int version, const char *ciphers)
{
	X509 *x = make_certificate(key);
	SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method()), *client_ctx = SSL_CTX_new(TLS_client_method());
	struct err err;
	EVP_PKEY *remote = remote_key_create(X509_get0_pubkey(x), sign, key, &err);
	SSL *server, *client;
	bool ok;

	assert_non_null(remote);
	assert_int_equal(SSL_CTX_use_certificate(server_ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, remote), 1);
	assert_int_equal(SSL_CTX_check_private_key(server_ctx), 1);
	SSL_CTX_set_max_proto_version(client_ctx, version);
	if (ciphers)
		SSL_CTX_set_cipher_list(client_ctx, ciphers);
	server = SSL_new(server_ctx);
	client = SSL_new(client_ctx);
	signatures = 0;
	ok = shake_hands(server, client);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	EVP_PKEY_free(remote);
	X509_free(x);
	return ok;
}

static void test_handshakes(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");

	assert_true(talk(rsa, TLS1_3_VERSION, NULL));
	assert_int_equal(signatures, 1);
	assert_true(talk(ec, TLS1_3_VERSION, NULL));
	assert_int_equal(signatures, 1);
	assert_true(talk(rsa, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"));
	assert_true(talk(ec, TLS1_2_VERSION, NULL));
	refuse = true;
	assert_false(talk(ec, TLS1_3_VERSION, NULL));
	refuse = false;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

static void test_another_key_does_not_fit(void **state)
{
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-256");
	X509 *x = make_certificate(a);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct err err;
	EVP_PKEY *remote = remote_key_create(b, sign, b, &err);

	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_not_equal(SSL_CTX_use_PrivateKey(ctx, remote), 1);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(remote);
	X509_free(x);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

static void test_only_digests_are_signed(void **state)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	unsigned char signature[REMOTE_KEY_SIGNATURE_MAX];
	size_t len;
	struct remote_key_request request = { .digest_name = "SHA2-256", .digest = SLICE("not a digest") };

	assert_false(remote_key_answer(key, &request, signature, &len));
	request.digest_name = "none";
	assert_false(remote_key_answer(key, &request, signature, &len));
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_another_key_does_not_fit),
		cmocka_unit_test(test_only_digests_are_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
