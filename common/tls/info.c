/* SPDX-License-Identifier: ISC */
#include "common/tls/info.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>
#include <stdio.h>

static void printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

static void describe_exchange(struct tls_info *info, SSL *ssl)
{
	EVP_PKEY *key = NULL;
	char group[32] = "";

	if (SSL_get_peer_tmp_key(ssl, &key) != 1 || !key)
		return;
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1) {
		const char *nist = EC_curve_nid2nist(OBJ_sn2nid(group));

		snprintf(info->key_exchange, sizeof(info->key_exchange), "ECDHE (%s)", nist ? nist : group);
	} else if (EVP_PKEY_is_a(key, "DH")) {
		snprintf(info->key_exchange, sizeof(info->key_exchange), "DHE (%d bits)", EVP_PKEY_get_bits(key));
	} else {
		snprintf(info->key_exchange, sizeof(info->key_exchange), "%s", EVP_PKEY_get0_type_name(key));
	}
	EVP_PKEY_free(key);
}

static void describe_signature(char *out, size_t size, int type, EVP_PKEY *key)
{
	const char *name = type == EVP_PKEY_RSA_PSS ? "RSA-PSS" : type == EVP_PKEY_EC ? "ECDSA" : OBJ_nid2sn(type);
	char group[32];

	if (type == EVP_PKEY_RSA)
		name = "RSA";
	if (!key)
		snprintf(out, size, "%s", name);
	else if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
		snprintf(out, size, "%s (%s)", name,
			 EC_curve_nid2nist(OBJ_sn2nid(group)) ? EC_curve_nid2nist(OBJ_sn2nid(group)) : group);
	else
		snprintf(out, size, "%s (%d bits)", name, EVP_PKEY_get_bits(key));
}

/* Ours and theirs, in the words of server and client. */
static void describe_signatures(struct tls_info *info, SSL *ssl)
{
	bool server = SSL_is_server(ssl);
	X509 *own = SSL_get_certificate(ssl), *peer = SSL_get0_peer_certificate(ssl);
	char *ours = server ? info->server_signature : info->client_signature;
	char *theirs = server ? info->client_signature : info->server_signature;
	char *our_digest = server ? info->server_digest : info->client_digest;
	char *their_digest = server ? info->client_digest : info->server_digest;
	int nid;

	if (own && SSL_get_signature_type_nid(ssl, &nid) == 1)
		describe_signature(ours, sizeof(info->server_signature), nid, X509_get0_pubkey(own));
	if (own && SSL_get_signature_nid(ssl, &nid) == 1 && nid != NID_undef)
		snprintf(our_digest, sizeof(info->server_digest), "%s", OBJ_nid2sn(nid));
	if (peer && SSL_get_peer_signature_type_nid(ssl, &nid) == 1)
		describe_signature(theirs, sizeof(info->server_signature), nid, X509_get0_pubkey(peer));
	if (peer && SSL_get_peer_signature_nid(ssl, &nid) == 1 && nid != NID_undef)
		snprintf(their_digest, sizeof(info->server_digest), "%s", OBJ_nid2sn(nid));
}

static void fingerprint(char *out, size_t size, const unsigned char *bytes, unsigned len)
{
	size_t at = 0;

	for (unsigned i = 0; i < len && at + 4 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%02X", i ? ":" : "", bytes[i]);
}

static void describe_peer(struct tls_info *info, SSL *ssl, const char *digest)
{
	X509 *peer = SSL_get0_peer_certificate(ssl);
	const EVP_MD *md = EVP_get_digestbyname(digest);
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned char *der = NULL;
	unsigned len;
	int der_len;

	if (!peer)
		return;
	info->has_peer = true;
	info->trusted = SSL_get_verify_result(ssl) == X509_V_OK;
	X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, info->peer_name, sizeof(info->peer_name));
	X509_NAME_get_text_by_NID(X509_get_issuer_name(peer), NID_commonName, info->peer_issuer,
				  sizeof(info->peer_issuer));
	printable(info->peer_name);
	printable(info->peer_issuer);
	if (md && X509_digest(peer, md, hash, &len) == 1)
		fingerprint(info->certificate_fingerprint, sizeof(info->certificate_fingerprint), hash, len);
	der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(peer), &der);
	if (md && der_len > 0 && EVP_Digest(der, (size_t)der_len, hash, &len, md, NULL) == 1)
		fingerprint(info->key_fingerprint, sizeof(info->key_fingerprint), hash, len);
	OPENSSL_free(der);
}

void tls_info_fill(struct tls_info *info, SSL *ssl, const char *digest)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	*info = (struct tls_info){ 0 };
	info->protocol = SSL_get_version(ssl);
	info->cipher = SSL_CIPHER_get_name(cipher);
	info->bits = SSL_CIPHER_get_bits(cipher, &info->algorithm_bits);
	info->resumed = SSL_session_reused(ssl);
	describe_exchange(info, ssl);
	/* A resumed session has no signatures of its own. */
	if (!info->resumed)
		describe_signatures(info, ssl);
	describe_peer(info, ssl, digest);
	if (name)
		snprintf(info->server_name, sizeof(info->server_name), "%s", name);
	printable(info->server_name);
}

static void part(struct str *out, const char *what, const char *value)
{
	if (value[0])
		str_printf(out, " %s %s", what, value);
}

void tls_info_describe(struct str *out, const struct tls_info *info)
{
	str_printf(out, "%s with cipher %s (%d/%d bits)", info->protocol, info->cipher, info->bits,
		   info->algorithm_bits);
	part(out, "key-exchange", info->key_exchange);
	part(out, "server-signature", info->server_signature);
	part(out, "server-digest", info->server_digest);
	part(out, "client-signature", info->client_signature);
	part(out, "client-digest", info->client_digest);
}
