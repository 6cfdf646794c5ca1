/* SPDX-License-Identifier: ISC */
#include "common/tls/server.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/authorities.h"
#include "common/tls/identity.h"
#include "common/tls/profile.h"
#include "common/tls/tls_stream.h"

#define KEY_SECONDS      30          /* for tlsmgr's answer */
#define TICKETS_EVERY    300.0
#define TICKETS_RETRY    2.0
#define NAMES_MAX        256         /* contexts of names asked for that are kept */

/* A name that clients asked for, and its certificates. */
struct named {
	struct named *next;
	SSL_CTX *ctx;                /* NULL: has none of its own */
	char name[];
};

struct tls_server {
	const struct config *config;
	SSL_CTX *ctx;
	struct tls_profile profile;
	struct tls_signer signer;
	struct task_group tasks;
	struct tlsmgr_ticket_key tickets[TLSMGR_TICKET_KEYS];
	size_t ticket_count;
	struct named *names;
	size_t name_count;
	const char *digest;          /* of fingerprints */
	char service[32];
	bool isolated, sni, asks, requires;
};

/* --- session tickets --- */

static void fetch_tickets(void *arg)
{
	struct tls_server *server = arg;
	struct err err;

	for (;;) {
		bool ok = tlsmgr_tickets(server->signer.tlsmgr, loop_now() + KEY_SECONDS, server->tickets,
					 &server->ticket_count, &err);

		if (task_sleep(ok ? TICKETS_EVERY : TICKETS_RETRY) != TASK_READY)
			return;
	}
}

static int set_ticket_key(const struct tlsmgr_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
			  EVP_MAC_CTX *mac, int encrypt)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (encrypt) {
		if (server->ticket_count == 0 || EVP_CIPHER_CTX_reset(cipher) != 1)
			return 0;
		memcpy(name, server->tickets[0].name, 16);
		return RAND_bytes(iv, 16) == 1 && set_ticket_key(&server->tickets[0], iv, cipher, mac, 1);
	}
	for (size_t i = 0; i < server->ticket_count; i++) {
		if (memcmp(name, server->tickets[i].name, 16) != 0 || server->tickets[i].until < loop_now())
			continue;
		if (!set_ticket_key(&server->tickets[i], iv, cipher, mac, 0))
			return -1;
		return i == 0 ? 1 : 2; /* 2: good, and a newer one is issued */
	}
	return 0;
}

/* --- names that clients ask for (SNI) --- */

static SSL_CTX *make_context(struct tls_server *server, struct err *err);

static SSL_CTX *context_of_name(struct tls_server *server, struct slice name)
{
	struct arena *arena = arena_create(0);
	struct chain_list list = { .count = 0 };
	struct slice pem = SLICE_NONE;
	SSL_CTX *ctx = NULL;
	struct err err = { 0 };
	bool ok = tlsmgr_chain(server->signer.tlsmgr, name, loop_now() + KEY_SECONDS, arena, &pem, &err);

	if (ok && pem.len > 0) {
		ctx = make_context(server, &err);
		ok = ctx && chain_parse(&list, pem, "tls_server_sni_maps", &err) &&
		     tls_identity_remote(ctx, &list, &server->signer, &err);
	}
	if (!ok) {
		log_warning("certificate for name %.*s: %s", SLICE_FMT(name), err.text);
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	chain_list_free(&list);
	arena_free(&arena);
	return ctx;
}

static void forget_names(void *context)
{
	struct tls_server *server = context;

	while (server->names) {
		struct named *n = server->names;

		server->names = n->next;
		SSL_CTX_free(n->ctx);
		free(n);
	}
	server->name_count = 0;
}

static int on_name(SSL *ssl, int *alert, void *context)
{
	struct tls_server *server = context;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct named *n;
	size_t len = name ? strlen(name) : 0;

	if (!server->sni || !server->signer.tlsmgr || !task_current() || len == 0 || len > TLSMGR_NAME_MAX)
		return SSL_TLSEXT_ERR_OK;
	for (n = server->names; n && strcmp(n->name, name) != 0; n = n->next)
		;
	if (!n) {
		SSL_CTX *ctx = context_of_name(server, slice_make(name, len));

		if (server->name_count == NAMES_MAX)
			forget_names(server);
		n = mem_alloc(sizeof(*n) + len + 1);
		memcpy(n->name, name, len);
		n->ctx = ctx;
		n->next = server->names;
		server->names = n;
		server->name_count++;
	}
	if (n->ctx)
		SSL_set_SSL_CTX(ssl, n->ctx);
	return SSL_TLSEXT_ERR_OK;
}

/* --- contexts --- */

bool tls_server_has_certificate(const struct config *config)
{
	struct arena *arena = arena_create(0);
	struct tls_files files;

	tls_files_of(config, "smtpd_tls_", arena, &files);
	arena_free(&arena);
	return files.count > 0;
}

static bool load_files(struct tls_server *server, struct err *err)
{
	struct arena *arena = arena_create(0);
	struct tls_files files;
	bool ok;

	tls_files_of(server->config, "smtpd_tls_", arena, &files);
	if (files.count == 0)
		ok = err_set(err, ERR_PERMANENT, "smtpd_tls_security_level asks for TLS, and there is no certificate: set "
			     "smtpd_tls_chain_files");
	else
		ok = tls_identity_load(server->ctx, &files, server->isolated ? &server->signer : NULL, err);
	arena_free(&arena);
	return ok;
}

/* Trust is for the restrictions to judge: a client whose certificate is no good is not cut off. */
static int on_certificate(int ok, X509_STORE_CTX *store)
{
	return 1;
}

static bool set_clients(struct tls_server *server, SSL_CTX *ctx, struct err *err)
{
	const char *file = config_text(server->config, "smtpd_tls_CAfile");
	const char *folder = config_text(server->config, "smtpd_tls_CApath");
	STACK_OF(X509_NAME) *names;

	if (!server->asks && !server->requires)
		return true;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_certificate);
	SSL_CTX_set_verify_depth(ctx, (int)config_int(server->config, "smtpd_tls_ccert_verifydepth"));
	if (!tls_authorities_load(ctx, file, folder, config_bool(server->config, "tls_append_default_CA"), err))
		return false;
	names = *file ? SSL_load_client_CA_file(file) : NULL;
	if (names)
		SSL_CTX_set_client_CA_list(ctx, names);
	return true;
}

static SSL_CTX *make_context(struct tls_server *server, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	size_t len = strlen(server->service);

	if (!ctx) {
		err_set(err, ERR_TEMPORARY, "no memory for TLS");
		return NULL;
	}
	SSL_CTX_set_app_data(ctx, server);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, (long)config_time(server->config, "smtpd_tls_session_cache_timeout"));
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, server);
	if (SSL_CTX_set_session_id_context(ctx, (const unsigned char *)server->service, (unsigned)len) != 1 ||
	    !tls_profile_apply(&server->profile, server->config, ctx, err) || !set_clients(server, ctx, err)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

struct tls_server *tls_server_create(const struct config *config, const char *service, bool mandatory,
				     struct err *err)
{
	struct tls_server *server = mem_alloc(sizeof(*server));

	server->config = config;
	server->profile = tls_profile_of(config, "smtpd_tls_", mandatory);
	server->isolated = config_bool(config, "smtpd_tls_key_isolation");
	server->sni = *config_text(config, "tls_server_sni_maps") != '\0';
	server->requires = config_bool(config, "smtpd_tls_req_ccert");
	server->asks = config_bool(config, "smtpd_tls_ask_ccert");
	server->digest = config_text(config, "smtpd_tls_fingerprint_digest");
	snprintf(server->service, sizeof(server->service), "%s", service);
	*err = (struct err){ 0 };
	server->ctx = make_context(server, err);
	if (!server->ctx || !load_files(server, err))
		tls_server_free(&server);
	return server;
}

void tls_server_free(struct tls_server **sp)
{
	struct tls_server *server = *sp;

	if (!server)
		return;
	task_group_cancel(&server->tasks);
	task_group_run(&server->tasks);
	forget_names(server);
	tls_signer_free(&server->signer);
	SSL_CTX_free(server->ctx);
	free(server);
	*sp = NULL;
}

void tls_server_start(struct tls_server *server, ipc_connect_fn *connect)
{
	server->signer.tlsmgr = ipc_client_create("tlsmgr", &tlsmgr_protocol, connect);
	/* Another tlsmgr may have other certificates for names. */
	ipc_client_on_lost(server->signer.tlsmgr, forget_names, server);
	task_spawn(&server->tasks, fetch_tickets, server);
}

bool tls_server_accept(struct tls_server *server, struct stream *s, struct tls_info *info, size_t *dropped,
		       struct err *err)
{
	SSL *ssl = SSL_new(server->ctx);

	if (!ssl)
		return err_set(err, ERR_TEMPORARY, "no memory for TLS");
	SSL_set_accept_state(ssl);
	if (!tls_start(s, ssl, dropped, err))
		return false;
	tls_info_fill(info, ssl, server->digest);
	return true;
}
