/* SPDX-License-Identifier: ISC */
#include "common/tls/identity.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "common/proto/tlsmgr_proto.h"
#include "common/tls/remote_key.h"

#define KEY_SECONDS      30          /* for tlsmgr's answer */
#define PATIENCE         5.0         /* with one who does not have the key */
#define PAUSE            0.2
#define KEY_FILE_MAX     (1u << 20)

/* --- files --- */

static void add_pair(struct tls_files *files, const char *certificates, const char *keys)
{
	if (!*certificates || slice_eq_nocase(slice_of(certificates), SLICE("none")) || files->count == CHAIN_MAX)
		return;
	files->pair[files->count].certificates = certificates;
	files->pair[files->count++].keys = *keys ? keys : certificates;
}

static const char *parameter(const struct config *config, const char *prefix, const char *name)
{
	char whole[96];

	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	return config_text(config, whole);
}

void tls_files_of(const struct config *config, const char *prefix, struct arena *arena, struct tls_files *files)
{
	struct slice rest = slice_of(parameter(config, prefix, "chain_files")), word;

	*files = (struct tls_files){ .count = 0 };
	while (slice_word(&rest, ", \t\r\n", &word)) {
		const char *path = arena_cstr(arena, word);

		add_pair(files, path, path);
	}
	if (files->count > 0)
		return;
	add_pair(files, parameter(config, prefix, "cert_file"), parameter(config, prefix, "key_file"));
	add_pair(files, parameter(config, prefix, "eccert_file"), parameter(config, prefix, "eckey_file"));
}

/* --- keys --- */

void tls_signer_free(struct tls_signer *signer)
{
	ipc_link_release(&signer->link);
	ipc_client_free(&signer->tlsmgr);
}

/* Once, by the process that we hold, or by the present one. */
static bool ask_once(struct tls_signer *signer, const struct tlsmgr_sign *sign, double deadline, struct arena *arena,
		     struct slice *answer, struct err *err)
{
	if (!signer->link)
		signer->link = ipc_client_hold(signer->tlsmgr, deadline, err);
	if (!signer->link)
		return false;
	/* Another task may let it go meanwhile. */
	struct ipc_link *link = ipc_link_hold(signer->link);
	bool ok = tlsmgr_sign(signer->tlsmgr, link, sign, deadline, arena, answer, err);

	if (!ok && signer->link == link)
		ipc_link_release(&signer->link);
	ipc_link_release(&link);
	return ok;
}

/* When certificates have changed on disk, the tlsmgr with their keys may come up a moment later than we. */
static bool ask_signature(void *context, const struct remote_key_request *request, unsigned char *signature,
			  size_t *len)
{
	struct tls_signer *signer = context;
	struct tlsmgr_sign sign = { slice_make(request->key, sizeof(request->key)), slice_of(request->digest_name),
				    request->digest, request->pss };
	double now = loop_now();
	struct arena *arena;
	struct slice answer;
	struct err err = { 0 };
	bool ok;

	if (!signer->tlsmgr || !task_current())
		return false;
	arena = arena_create(0);
	ok = ask_once(signer, &sign, now + KEY_SECONDS, arena, &answer, &err);
	while (!ok && loop_now() < now + PATIENCE && task_sleep(PAUSE) == TASK_READY)
		ok = ask_once(signer, &sign, now + KEY_SECONDS, arena, &answer, &err);
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

bool tls_identity_remote(SSL_CTX *ctx, const struct chain_list *list, struct tls_signer *signer, struct err *err)
{
	bool ok = true;

	for (size_t i = 0; ok && i < list->count; i++) {
		EVP_PKEY *key = remote_key_create(X509_get0_pubkey(list->chain[i].leaf), ask_signature, signer, err);

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
	ssize_t got = fd >= 0 ? file_read_at(fd, text, KEY_FILE_MAX, 0) : -1;
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

bool tls_identity_load(SSL_CTX *ctx, const struct tls_files *files, struct tls_signer *signer, struct err *err)
{
	bool ok = true;

	for (size_t i = 0; ok && i < files->count; i++) {
		struct chain_list list = { .count = 0 };

		process_watch_file(files->pair[i].certificates);
		process_watch_file(files->pair[i].keys);
		ok = chain_read_file(&list, files->pair[i].certificates, err) &&
		     (signer ? tls_identity_remote(ctx, &list, signer, err) :
			       use_locally(ctx, &list, files->pair[i].keys, err));
		if (!ok)
			err_prefix(err, "%s", files->pair[i].certificates);
		chain_list_free(&list);
	}
	return ok;
}
