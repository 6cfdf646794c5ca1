/* SPDX-License-Identifier: ISC */
#include "common/tls/chain.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4u << 20)

static const struct slice begin_certificate = SLICE("-----BEGIN CERTIFICATE-----");
static const struct slice end_certificate = SLICE("-----END CERTIFICATE-----");
static const struct slice end_key = SLICE("PRIVATE KEY-----");

/* Where `what` begins, or -1. */
static ptrdiff_t find(struct slice text, struct slice what)
{
	const char *at = text.len ? memmem(text.ptr, text.len, what.ptr, what.len) : NULL;

	return at ? at - text.ptr : -1;
}

static X509 *decode(struct slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return x;
}

static bool add(struct chain_list *list, X509 *x, bool fresh, const char *where, struct err *err)
{
	struct chain *last;

	if (fresh) {
		if (list->count == CHAIN_MAX) {
			X509_free(x);
			return err_set(err, ERR_LIMIT, "%s: more than %d certificate chains", where, CHAIN_MAX);
		}
		last = &list->chain[list->count++];
		*last = (struct chain){ .leaf = x, .others = sk_X509_new_null() };
		return true;
	}
	last = &list->chain[list->count - 1];
	if (sk_X509_push(last->others, x) > 0)
		return true;
	X509_free(x);
	return err_set(err, ERR_TEMPORARY, "%s: out of memory", where);
}

bool chain_parse(struct chain_list *list, struct slice pem, const char *where, struct err *err)
{
	bool fresh = true;
	size_t before = list->count;
	ptrdiff_t at;

	while ((at = find(pem, begin_certificate)) >= 0) {
		struct slice block = slice_sub(pem, (size_t)at, pem.len);
		ptrdiff_t end = find(block, end_certificate);
		X509 *x = NULL;

		fresh = fresh || find(slice_sub(pem, 0, (size_t)at), end_key) >= 0;
		if (end >= 0)
			x = decode(slice_sub(block, 0, (size_t)end + end_certificate.len + 1));
		if (!x)
			return err_set(err, ERR_SYNTAX, "%s: malformed certificate", where);
		if (!add(list, x, fresh, where, err))
			return false;
		fresh = false;
		pem = slice_sub(block, (size_t)end + end_certificate.len, block.len);
	}
	return list->count > before || err_set(err, ERR_SYNTAX, "%s: no certificate in it", where);
}

bool chain_read_file(struct chain_list *list, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map = MAP_FAILED;
	bool ok;

	if (fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "open %s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return err_set(err, ERR_PERMANENT, "%s: not a file of 1 to %u bytes", path, FILE_MAX);
	ok = chain_parse(list, slice_make(map, (size_t)st.st_size), path, err);
	munmap(map, (size_t)st.st_size);
	return ok;
}

void chain_list_free(struct chain_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		X509_free(list->chain[i].leaf);
		sk_X509_pop_free(list->chain[i].others, X509_free);
	}
	list->count = 0;
}

/* A key with a pass phrase: nobody is there to type it. */
static int no_pass_phrase(char *buf, int size, int writing, void *context)
{
	return -1;
}

bool chain_keys(struct slice pem, const char *where, void (*fn)(EVP_PKEY *key, void *context), void *context,
		struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	size_t count = 0;
	EVP_PKEY *key;

	while (bio && (key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL))) {
		fn(key, context);
		count++;
	}
	BIO_free(bio);
	return count > 0 || err_set(err, ERR_SYNTAX, "%s: no private key in it that can be read without a pass phrase", where);
}
