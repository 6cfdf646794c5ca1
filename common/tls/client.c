/* SPDX-License-Identifier: ISC */
#include "common/tls/client.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/profile.h"
#include "common/tls/tls_stream.h"
#include "common/tls/client_keys.h"

#define SESSIONS_MAX 1000

/* A session that may be taken up again. */
struct kept {
	struct kept *next;
	SSL_SESSION *session;
	char key[];
};

struct tls_client {
	const struct config *config;
	const char *prefix;
	SSL_CTX *ctx;
	struct client_keys *keys;
	struct kept *sessions;      /* newest first */
	size_t session_count;
	const char *digest;
	int key_index;              /* SSL's ex_data: the session key */
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

static SSL_SESSION *take_session(struct tls_client *client, const char *key)
{
	for (struct kept **at = &client->sessions; *at; at = &(*at)->next) {
		SSL_SESSION *session;

		if (strcmp((*at)->key, key) != 0)
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
	const char *key = SSL_get_ex_data(ssl, client->key_index);
	size_t len = key ? strlen(key) : 0;
	struct kept *k;

	if (!key || !SSL_SESSION_is_resumable(session))
		return 0;
	if (client->session_count == SESSIONS_MAX) {
		struct kept **last = &client->sessions;

		while ((*last)->next)
			last = &(*last)->next;
		drop_session(client, last);
	}
	k = mem_alloc(sizeof(*k) + len + 1);
	memcpy(k->key, key, len);
	k->session = session;
	k->next = client->sessions;
	client->sessions = k;
	client->session_count++;
	return 1;
}

static void free_session_key(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
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

/* What is wrong shows in the verify result; whether that matters, the level says. */
static int on_certificate(int ok, X509_STORE_CTX *store)
{
	return 1;
}

static bool load_authorities(struct tls_client *client, struct err *err)
{
	const char *file = parameter(client, "CAfile"), *folder = parameter(client, "CApath");

	if ((*file || *folder) &&
	    SSL_CTX_load_verify_locations(client->ctx, *file ? file : NULL, *folder ? folder : NULL) != 1)
		return err_set(err, ERR_PERMANENT, "%sCAfile, %sCApath: cannot be read", client->prefix, client->prefix);
	if (config_bool(client->config, "tls_append_default_CA"))
		SSL_CTX_set_default_verify_paths(client->ctx);
	return true;
}

struct tls_client *tls_client_create(const struct config *config, const char *prefix, struct err *err)
{
	struct tls_client *client = mem_alloc(sizeof(*client));
	struct tls_profile profile = tls_profile_of(config, prefix, false);

	client->config = config;
	client->prefix = prefix;
	client->digest = parameter(client, "fingerprint_digest");
	client->ctx = SSL_CTX_new(TLS_client_method());
	client->key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_session_key);
	if (!client->ctx || client->key_index < 0 || SSL_CTX_dane_enable(client->ctx) != 1) {
		err_set(err, ERR_TEMPORARY, "no memory for TLS");
		tls_client_free(&client);
		return NULL;
	}
	SSL_CTX_set_app_data(client->ctx, client);
	SSL_CTX_dane_set_flags(client->ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, on_certificate);
	SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client->ctx, on_session);
	client->keys = client_keys_create();
	if (!tls_profile_apply(&profile, config, client->ctx, err) || !load_authorities(client, err) ||
	    !client_keys_load(client->keys, config, prefix, client->ctx, err))
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
	client_keys_free(&client->keys);
	free(client);
	*cp = NULL;
}

void tls_client_start(struct tls_client *client, ipc_connect_fn *connect)
{
	client_keys_start(client->keys, connect);
}

/* --- a connection --- */

/* Protocols and ciphers of a policy: by a context of their own, since a connection's cannot be loosened. */
static bool set_profile(struct tls_client *client, SSL *ssl, const struct tls_wish *wish, struct err *err)
{
	struct tls_profile profile = tls_profile_of(client->config, client->prefix, wish->level > TLS_MAY);
	SSL_CTX *ctx;
	bool ok;

	profile.protocols = wish->protocols ? wish->protocols : profile.protocols;
	profile.grade = wish->grade ? wish->grade : profile.grade;
	profile.exclude = wish->exclude ? wish->exclude : profile.exclude;
	ctx = SSL_CTX_new(TLS_client_method());
	ok = ctx && tls_profile_apply(&profile, client->config, ctx, err);
	if (ok) {
		SSL_clear_options(ssl, SSL_get_options(ssl) & SSL_OP_NO_SSL_MASK);
		SSL_set_options(ssl, SSL_CTX_get_options(ctx));
		SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx));
		SSL_set_max_proto_version(ssl, (int)SSL_CTX_get_max_proto_version(ctx));
		STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
		struct str list = { 0 };

		for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
			if (SSL_CIPHER_get_min_tls(sk_SSL_CIPHER_value(ciphers, i)) == NULL ||
			    strcmp(SSL_CIPHER_get_version(sk_SSL_CIPHER_value(ciphers, i)), "TLSv1.3") != 0)
				str_printf(&list, "%s%s", list.len ? ":" : "",
					   SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)));
		ok = SSL_set_cipher_list(ssl, str_cstr(&list)) == 1;
		str_free(&list);
	}
	SSL_CTX_free(ctx);
	return ok;
}
