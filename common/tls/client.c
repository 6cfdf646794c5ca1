/* SPDX-License-Identifier: ISC */
#include "common/tls/client.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/authorities.h"
#include "common/tls/identity.h"
#include "common/tls/profile.h"
#include "common/tls/tls_stream.h"

#define SESSIONS_MAX 1000
#define SESSION_KEY  32

/* What goes with an SSL, to its end. */
struct handshake {
	bool untrusted, misnamed;   /* what the verification found */
	unsigned char session_key[SESSION_KEY];
	bool keep;                  /* sessions */
};

/* A session that may be taken up again. */
struct kept {
	struct kept *next;
	SSL_SESSION *session;
	unsigned char key[SESSION_KEY];
};

struct tls_client {
	const struct config *config;
	const char *prefix;
	SSL_CTX *ctx;
	struct tls_signer signer;
	struct kept *sessions;      /* newest first */
	size_t session_count;
	const char *digest;
	int index;                  /* of struct handshake in an SSL's ex_data */
};

/* --- words --- */

static const char *const level_names[] = {
	[TLS_NONE] = "none", [TLS_MAY] = "may", [TLS_ENCRYPT] = "encrypt", [TLS_DANE] = "dane",
	[TLS_DANE_ONLY] = "dane-only", [TLS_FINGERPRINT] = "fingerprint", [TLS_VERIFY] = "verify", [TLS_SECURE] = "secure",
};

enum tls_level tls_level_parse(struct slice word)
{
	enum tls_level level = TLS_NONE;

	while (level < TLS_INVALID && !slice_eq_nocase(word, slice_of(level_names[level])))
		level++;
	return level;
}

const char *tls_level_text(enum tls_level level)
{
	return level < TLS_INVALID ? level_names[level] : "invalid";
}

const char *tls_peer_status_text(enum tls_peer_status status)
{
	static const char *const text[] = { [TLS_ANONYMOUS] = "Anonymous", [TLS_UNTRUSTED] = "Untrusted",
					    [TLS_TRUSTED] = "Trusted", [TLS_VERIFIED] = "Verified" };

	return text[status];
}

bool tls_tlsa_usable(struct slice rdata)
{
	const unsigned char *r = (const unsigned char *)rdata.ptr;
	static const size_t lengths[] = { 0, 32, 64 };

	if (rdata.len < 4 || (r[0] != 2 && r[0] != 3) || r[1] > 1 || r[2] > 2)
		return false;
	return r[2] == 0 || rdata.len - 3 == lengths[r[2]];
}

/* --- sessions --- */

static void drop_session(struct tls_client *client, struct kept **at)
{
	struct kept *k = *at;

	*at = k->next;
	SSL_SESSION_free(k->session);
	free(k);
	client->session_count--;
}

static SSL_SESSION *take_session(struct tls_client *client, const unsigned char *key)
{
	for (struct kept **at = &client->sessions; *at; at = &(*at)->next) {
		SSL_SESSION *session;

		if (memcmp((*at)->key, key, SESSION_KEY) != 0)
			continue;
		/* A ticket of TLS 1.3 is for one use (RFC 8446, appendix C.4). */
		session = (*at)->session;
		SSL_SESSION_up_ref(session);
		drop_session(client, at);
		return session;
	}
	return NULL;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct handshake *h = SSL_get_ex_data(ssl, client->index);
	struct kept *k;

	if (!h || !h->keep || !SSL_SESSION_is_resumable(session))
		return 0;
	if (client->session_count == SESSIONS_MAX) {
		struct kept **last = &client->sessions;

		while ((*last)->next)
			last = &(*last)->next;
		drop_session(client, last);
	}
	k = mem_alloc(sizeof(*k));
	memcpy(k->key, h->session_key, SESSION_KEY);
	k->session = session;
	k->next = client->sessions;
	client->sessions = k;
	client->session_count++;
	return 1;
}

static void add_text(struct str *all, const char *text)
{
	str_append_text(all, text ? text : "");
	str_append_byte(all, '\0');
}

/* A session is taken up only where the same was asked of the server: it is not verified again. */
static bool make_session_key(const struct tls_wish *wish, unsigned char key[SESSION_KEY])
{
	struct str all = { 0 };
	bool ok;

	add_text(&all, wish->session_key);
	add_text(&all, tls_level_text(wish->level));
	add_text(&all, wish->server_name);
	add_text(&all, wish->protocols);
	add_text(&all, wish->grade);
	add_text(&all, wish->exclude);
	for (size_t i = 0; i < wish->name_count; i++)
		add_text(&all, wish->names[i]);
	for (size_t i = 0; i < wish->tlsa_count; i++) {
		str_printf(&all, "%zu:", wish->tlsa[i].len);
		str_append(&all, wish->tlsa[i]);
	}
	ok = EVP_Digest(all.data, all.len, key, NULL, EVP_sha256(), NULL) == 1;
	str_free(&all);
	return ok;
}

static void free_handshake(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	free(ptr);
}

/* --- the context --- */

static const char *parameter(const struct tls_client *client, const char *name)
{
	char whole[96];

	snprintf(whole, sizeof(whole), "%s%s", client->prefix, name);
	return config_text(client->config, whole);
}

/* What is wrong is noted; whether that matters, the level says. */
static int on_certificate(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct handshake *h = SSL_get_ex_data(ssl, client->index);

	if (!ok && X509_STORE_CTX_get_error(store) == X509_V_ERR_HOSTNAME_MISMATCH)
		h->misnamed = true;
	else if (!ok)
		h->untrusted = true;
	return 1;
}

static bool fill_context(struct tls_client *client, struct err *err)
{
	struct tls_profile profile = tls_profile_of(client->config, client->prefix, false);
	struct arena *arena = arena_create(0);
	struct tls_files files;
	bool ok;

	tls_files_of(client->config, client->prefix, arena, &files);
	ok = tls_profile_apply(&profile, client->config, client->ctx, err) &&
	     tls_authorities_load(client->ctx, parameter(client, "CAfile"), parameter(client, "CApath"),
				  config_bool(client->config, "tls_append_default_CA"), err) &&
	     tls_identity_load(client->ctx, &files, &client->signer, err);
	arena_free(&arena);
	return ok;
}

struct tls_client *tls_client_create(const struct config *config, const char *prefix, struct err *err)
{
	struct tls_client *client = mem_alloc(sizeof(*client));

	client->config = config;
	client->prefix = prefix;
	client->digest = parameter(client, "fingerprint_digest");
	client->ctx = SSL_CTX_new(TLS_client_method());
	client->index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_handshake);
	if (!client->ctx || client->index < 0 || SSL_CTX_dane_enable(client->ctx) != 1) {
		err_set(err, ERR_TEMPORARY, "no memory for TLS");
		tls_client_free(&client);
		return NULL;
	}
	SSL_CTX_set_app_data(client->ctx, client);
	/* RFC 7672, section 3.1.1: the record is for the name already. */
	SSL_CTX_dane_set_flags(client->ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, on_certificate);
	SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client->ctx, on_session);
	if (!fill_context(client, err))
		tls_client_free(&client);
	return client;
}

void tls_client_free(struct tls_client **cp)
{
	struct tls_client *client = *cp;

	if (!client)
		return;
	while (client->sessions)
		drop_session(client, &client->sessions);
	SSL_CTX_free(client->ctx);
	tls_signer_free(&client->signer);
	free(client);
	*cp = NULL;
}

void tls_client_start(struct tls_client *client, ipc_connect_fn *connect)
{
	client->signer.tlsmgr = ipc_client_create("tlsmgr", &tlsmgr_protocol, connect);
}

/* --- a connection --- */

static bool copy_ciphers(SSL *ssl, SSL_CTX *ctx)
{
	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
	struct str list = { 0 };
	bool ok;

	/* Those of TLS 1.3 have a list of their own, which no parameter changes. */
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		if (strcmp(SSL_CIPHER_get_version(sk_SSL_CIPHER_value(ciphers, i)), "TLSv1.3") != 0)
			str_printf(&list, "%s%s", list.len ? ":" : "", SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)));
	ok = list.len == 0 || SSL_set_cipher_list(ssl, str_cstr(&list)) == 1;
	str_free(&list);
	return ok;
}

/* Protocols and ciphers of the policy. */
static bool set_profile(struct tls_client *client, SSL *ssl, const struct tls_wish *wish, struct err *err)
{
	struct tls_profile profile = tls_profile_of(client->config, client->prefix, wish->level > TLS_MAY);
	SSL_CTX *ctx;
	bool ok;

	if (wish->level <= TLS_MAY && !wish->protocols && !wish->grade && !wish->exclude)
		return true;
	profile.protocols = wish->protocols ? wish->protocols : profile.protocols;
	profile.grade = wish->grade ? wish->grade : profile.grade;
	profile.exclude = wish->exclude ? wish->exclude : profile.exclude;
	ctx = SSL_CTX_new(TLS_client_method());
	ok = ctx && tls_profile_apply(&profile, client->config, ctx, err);
	if (ok) {
		SSL_clear_options(ssl, SSL_get_options(ssl) & SSL_OP_NO_SSL_MASK);
		SSL_set_options(ssl, SSL_CTX_get_options(ctx));
		ok = SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx)) == 1 &&
		     SSL_set_max_proto_version(ssl, (int)SSL_CTX_get_max_proto_version(ctx)) == 1 &&
		     copy_ciphers(ssl, ctx);
		if (!ok)
			err_set(err, ERR_PERMANENT, "protocols or ciphers of the TLS policy cannot be had");
	}
	SSL_CTX_free(ctx);
	return ok;
}

static bool by_names(enum tls_level level)
{
	return level == TLS_VERIFY || level == TLS_SECURE;
}

static bool by_dane(const struct tls_wish *wish)
{
	if (wish->level == TLS_DANE || wish->level == TLS_DANE_ONLY)
		for (size_t i = 0; i < wish->tlsa_count; i++)
			if (tls_tlsa_usable(wish->tlsa[i]))
				return true;
	return false;
}

static bool set_dane(SSL *ssl, const struct tls_wish *wish)
{
	size_t good = 0;

	if (wish->name_count == 0 || SSL_dane_enable(ssl, wish->names[0]) != 1)
		return false;
	for (size_t i = 1; i < wish->name_count; i++)
		if (SSL_add1_host(ssl, wish->names[i]) != 1)
			return false;
	for (size_t i = 0; i < wish->tlsa_count; i++) {
		const unsigned char *r = (const unsigned char *)wish->tlsa[i].ptr;

		if (tls_tlsa_usable(wish->tlsa[i]) &&
		    SSL_dane_tlsa_add(ssl, r[0], r[1], r[2], r + 3, wish->tlsa[i].len - 3) == 1)
			good++;
	}
	return good > 0;
}

static bool set_names(SSL *ssl, const struct tls_wish *wish)
{
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; i < wish->name_count; i++)
		if (SSL_add1_host(ssl, wish->names[i]) != 1)
			return false;
	return wish->name_count > 0;
}

static SSL *make_ssl(struct tls_client *client, const struct tls_wish *wish, struct err *err)
{
	SSL *ssl = SSL_new(client->ctx);
	struct handshake *h = mem_alloc(sizeof(*h));
	SSL_SESSION *session;
	bool ok;

	if (!ssl || SSL_set_ex_data(ssl, client->index, h) != 1) {
		free(h);
		SSL_free(ssl);
		err_set(err, ERR_TEMPORARY, "no memory for TLS");
		return NULL;
	}
	h->keep = wish->session_key && make_session_key(wish, h->session_key);
	err_set(err, ERR_TEMPORARY, "names or TLSA records of the server cannot be used");
	ok = (!by_dane(wish) || set_dane(ssl, wish)) && (!by_names(wish->level) || set_names(ssl, wish)) &&
	     (!wish->server_name || SSL_set_tlsext_host_name(ssl, wish->server_name) == 1) &&
	     set_profile(client, ssl, wish, err);
	if (!ok) {
		SSL_free(ssl);
		return NULL;
	}
	session = h->keep ? take_session(client, h->session_key) : NULL;
	if (session) {
		(void)SSL_set_session(ssl, session);
		SSL_SESSION_free(session);
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

static bool has_fingerprint(const struct tls_info *info, const struct tls_wish *wish)
{
	for (size_t i = 0; i < wish->fingerprint_count; i++) {
		struct slice wanted = slice_of(wish->fingerprints[i]);

		if (slice_eq_nocase(wanted, slice_of(info->certificate_fingerprint)) ||
		    slice_eq_nocase(wanted, slice_of(info->key_fingerprint)))
			return true;
	}
	return false;
}

/* Whom we talk to, by what the level has asked for. */
static enum tls_peer_status judge(const struct tls_client *client, SSL *ssl, const struct tls_wish *wish,
				  const struct tls_info *info)
{
	const struct handshake *h = SSL_get_ex_data(ssl, client->index);
	/* A session taken up has the verdict of its first handshake. */
	bool good = SSL_get_verify_result(ssl) == X509_V_OK;

	if (!info->has_peer)
		return TLS_ANONYMOUS;
	if (wish->level == TLS_FINGERPRINT)
		return has_fingerprint(info, wish) ? TLS_VERIFIED : TLS_UNTRUSTED;
	if (by_dane(wish))
		return good ? TLS_VERIFIED : TLS_UNTRUSTED;
	if (by_names(wish->level) && good && !h->misnamed && !h->untrusted)
		return TLS_VERIFIED;
	return (good || h->misnamed) && !h->untrusted ? TLS_TRUSTED : TLS_UNTRUSTED;
}

bool tls_client_connect(struct tls_client *client, struct stream *s, const struct tls_wish *wish,
			enum tls_peer_status *status, struct tls_info *info, struct err *err)
{
	SSL *ssl = make_ssl(client, wish, err);
	bool needs_verified;
	size_t early;

	if (!ssl || !tls_start(s, ssl, &early, err))
		return false;
	if (early > 0)
		return err_set(err, ERR_PERMANENT, "plain text after the reply to STARTTLS");
	tls_info_fill(info, ssl, client->digest);
	*status = judge(client, ssl, wish, info);
	needs_verified = by_names(wish->level) || by_dane(wish) || wish->level == TLS_FINGERPRINT ||
			 wish->level == TLS_DANE_ONLY;
	if (needs_verified && *status != TLS_VERIFIED)
		return err_set(err, ERR_PERMANENT, "Server certificate not %s",
			       *status == TLS_TRUSTED ? "verified" : "trusted");
	return true;
}
