/* SPDX-License-Identifier: ISC */
#include "common/tls/authorities.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>

#include "common/base/str.h"

static void load_folder(X509_STORE *store, DIR *folder, const char *name)
{
	struct str path = { 0 };
	const struct dirent *entry;

	/* What is no certificate is passed over, as OpenSSL does with its folders. */
	while ((entry = readdir(folder))) {
		str_clear(&path);
		str_printf(&path, "%s/%s", name, entry->d_name);
		if (entry->d_name[0] != '.')
			(void)X509_STORE_load_file(store, str_cstr(&path));
	}
	ERR_clear_error();
	str_free(&path);
}

static bool read_folder(X509_STORE *store, const char *name, struct err *err)
{
	DIR *folder = opendir(name);

	if (!folder)
		return err_set_errno(err, ERR_PERMANENT, "authorities: %s", name);
	load_folder(store, folder, name);
	closedir(folder);
	return true;
}

bool tls_authorities_load(SSL_CTX *ctx, const char *file, const char *folder, bool system, struct err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	struct err none;

	if (*file && X509_STORE_load_file(store, file) != 1)
		return err_set(err, ERR_PERMANENT, "authorities: %s: %s", file, ERR_reason_error_string(ERR_peek_last_error()));
	if (*folder && !read_folder(store, folder, err))
		return false;
	if (!system)
		return true;
	/* Where a system has neither, nobody is trusted, and the log will say so of each server. */
	if (X509_STORE_load_file(store, X509_get_default_cert_file()) != 1)
		(void)read_folder(store, X509_get_default_cert_dir(), &none);
	ERR_clear_error();
	return true;
}
