/* SPDX-License-Identifier: ISC */
#include "common/tls/server.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/chain.h"
#include "common/tls/profile.h"
#include "common/tls/remote_key.h"
#include "common/tls/tls_stream.h"

#define KEY_SECONDS      30          /* for tlsmgr's answer */
#define TICKETS_EVERY    300.0
#define TICKETS_RETRY    2.0
#define NAMES_MAX        256         /* contexts of names asked for that are kept */
#define KEY_FILE_MAX     (1u << 20)

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
	struct ipc_client *tlsmgr;
	struct task_group tasks;
	struct tlsmgr_ticket_key tickets[TLSMGR_TICKET_KEYS];
	size_t ticket_count;
	struct named *names;
	size_t name_count;
	const char *digest;          /* of fingerprints */
	char service[32];
	bool isolated, sni, asks, requires;
};

/* --- files --- */

static void add_pair(struct tls_files *files, const char *certificates, const char *keys)
{
	if (!*certificates || slice_eq_nocase(slice_of(certificates), SLICE("none")) || files->count == 8)
		return;
	files->pair[files->count].certificates = certificates;
	files->pair[files->count++].keys = *keys ? keys : certificates;
}

void tls_server_files(const struct config *config, struct arena *arena, struct tls_files *files)
{
	struct slice rest = slice_of(config_text(config, "smtpd_tls_chain_files")), word;

	*files = (struct tls_files){ 0 };
	while (slice_word(&rest, ", \t\r\n", &word)) {
		const char *path = arena_cstr(arena, word);

		add_pair(files, path, path);
	}
	if (files->count > 0)
		return;
	add_pair(files, config_text(config, "smtpd_tls_cert_file"), config_text(config, "smtpd_tls_key_file"));
	add_pair(files, config_text(config, "smtpd_tls_eccert_file"), config_text(config, "smtpd_tls_eckey_file"));
}

/* --- keys --- */

static bool ask_signature(void *context, const struct remote_key_request *request, unsigned char *signature,
			  size_t *len)
{
	struct tls_server *server = context;
	struct tlsmgr_sign sign = { slice_make(request->key, sizeof(request->key)), slice_of(request->digest_name),
				    request->digest, request->pss };
	struct arena *arena;
	struct slice answer;
	struct err err;
	bool ok;

	if (!server->tlsmgr || !task_current())
		return false;
	arena = arena_create(0);
	ok = tlsmgr_sign(server->tlsmgr, &sign, loop_now() + KEY_SECONDS, arena, &answer, &err);
	if (!ok)
		log_warning("TLS private key operation: %s", err.text);
	ok = ok && answer.len <= REMOTE_KEY_SIGNATURE_MAX;
	if (ok)
		memcpy(signature, answer.ptr, *len = answer.len);
	arena_free(&arena);
	return ok;
}

static bool use_chain(SSL_CTX *ctx, const struct chain *chain, EVP_PKEY *key, struct err *err)
{
	if (SSL_CTX_use_cert_and_key(ctx, chain->leaf, key, chain->others, 1) == 1)
		return true;
	return err_set(err, ERR_PERMANENT, "certificate and key do not fit: %s",
		       ERR_reason_error_string(ERR_peek_last_error()));
}

/* All chains of a list, their keys with tlsmgr. */
static bool use_remotely(struct tls_server *server, SSL_CTX *ctx, const struct chain_list *list, struct err *err)
{
	bool ok = true;

	for (size_t i = 0; ok && i < list->count; i++) {
		EVP_PKEY *key = remote_key_create(X509_get0_pubkey(list->chain[i].leaf), ask_signature, server, err);

		ok = key && use_chain(ctx, &list->chain[i], key, err);
		EVP_PKEY_free(key);
	}
	return ok;
}

struct fit {
	SSL_CTX *ctx;
	const struct chain_list *list;
	size_t used;
};

static void use_fitting(EVP_PKEY *key, void *context)
{
	struct fit *fit = context;
	struct err err;

	for (size_t i = 0; i < fit->list->count; i++)
		if (X509_check_private_key(fit->list->chain[i].leaf, key) == 1 &&
		    use_chain(fit->ctx, &fit->list->chain[i], key, &err))
			fit->used++;
	EVP_PKEY_free(key);
}

static bool use_locally(SSL_CTX *ctx, const struct chain_list *list, const char *path, struct err *err)
{
	struct fit fit = { ctx, list, 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = mem_alloc(KEY_FILE_MAX);
	ssize_t got = fd >= 0 ? read(fd, text, KEY_FILE_MAX) : -1;
	bool ok;

	if (got < 0)
		ok = err_set_errno(err, ERR_PERMANENT, "read %s", path);
	else
		ok = chain_keys(slice_make(text, (size_t)got), path, use_fitting, &fit, err);
	if (fd >= 0)
		close(fd);
	OPENSSL_cleanse(text, KEY_FILE_MAX);
	free(text);
	if (ok && fit.used < list->count)
		ok = err_set(err, ERR_PERMANENT, "%s: a certificate has no key in it", path);
	return ok;
}

static bool load_files(struct tls_server *server, struct err *err)
{
	struct arena *arena = arena_create(0);
	struct tls_files files;
	bool ok = true;

	tls_server_files(server->config, arena, &files);
	if (files.count == 0)
		ok = err_set(err, ERR_PERMANENT, "smtpd_tls_security_level asks for TLS, and there is no certificate: set "
			     "smtpd_tls_chain_files");
	for (size_t i = 0; ok && i < files.count; i++) {
		struct chain_list list = { .count = 0 };

		ok = chain_read_file(&list, files.pair[i].certificates, err) &&
		     (server->isolated ? use_remotely(server, server->ctx, &list, err) :
					 use_locally(server->ctx, &list, files.pair[i].keys, err));
		if (!ok)
			err_prefix(err, "%s", files.pair[i].certificates);
		chain_list_free(&list);
	}
	arena_free(&arena);
	return ok;
}

/* --- session tickets --- */

static void fetch_tickets(void *arg)
{
	struct tls_server *server = arg;
	struct err err;

	for (;;) {
		bool ok = tlsmgr_tickets(server->tlsmgr, loop_now() + KEY_SECONDS, server->tickets,
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
	bool ok = tlsmgr_chain(server->tlsmgr, name, loop_now() + KEY_SECONDS, arena, &pem, &err);

	if (ok && pem.len > 0) {
		ctx = make_context(server, &err);
		ok = ctx && chain_parse(&list, pem, "tls_server_sni_maps", &err) &&
		     use_remotely(server, ctx, &list, &err);
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

	if (!server->sni || !server->tlsmgr || !task_current() || len == 0 || len > TLSMGR_NAME_MAX)
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
	if ((*file || *folder) && SSL_CTX_load_verify_locations(ctx, *file ? file : NULL, *folder ? folder : NULL) != 1)
		return err_set(err, ERR_PERMANENT, "smtpd_tls_CAfile, smtpd_tls_CApath: cannot be read");
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
	ipc_client_free(&server->tlsmgr);
	SSL_CTX_free(server->ctx);
	free(server);
	*sp = NULL;
}

void tls_server_start(struct tls_server *server, ipc_connect_fn *connect)
{
	server->tlsmgr = ipc_client_create("tlsmgr", &tlsmgr_protocol, connect);
	/* Another tlsmgr may have other certificates for names. */
	ipc_client_on_lost(server->tlsmgr, forget_names, server);
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
