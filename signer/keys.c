/* SPDX-License-Identifier: ISC */
#include "signer/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536
#define SUFFIX       ".pem"

struct entry {
	struct entry *next;
	char *domain, *selector;
	struct dkim_private_key key;
};

static struct {
	struct entry *first;
	size_t count;
} keys;

/* Who can read a key can sign as us; who can write it can too. */
static bool check_mode(const char *path, const struct stat *st, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_PERMANENT, "%s is not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, ERR_PERMANENT, "%s belongs to uid %u: chown it to root", path,
			       (unsigned)st->st_uid);
	if (st->st_mode & 077)
		return err_set(err, ERR_PERMANENT,
			       "%s has mode %03o, others can use the key: chmod 600 it", path,
			       (unsigned)st->st_mode & 0777);
	return st->st_size <= KEY_FILE_MAX ||
	       err_set(err, ERR_LIMIT, "%s is too large for a key", path);
}

static bool read_file(const char *path, struct str *text, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	char piece[4096];
	ssize_t len = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return err_set_errno(err, ERR_PERMANENT, "open %s", path);
	}
	bool ok = check_mode(path, &st, err);

	while (ok && text->len <= KEY_FILE_MAX && (len = read(fd, piece, sizeof(piece))) > 0)
		str_append(text, slice_make(piece, (size_t)len));
	OPENSSL_cleanse(piece, sizeof(piece));
	close(fd);
	return ok && (len == 0 || err_set_errno(err, ERR_PERMANENT, "read %s", path));
}

static bool add_key(const char *path, struct slice domain, struct slice selector, struct err *err)
{
	struct entry *e = mem_alloc(sizeof(*e));
	struct str text = {0};
	bool ok =
	    read_file(path, &text, err) &&
	    (dkim_private_key_read(str_slice(&text), &e->key, err) || err_prefix(err, "%s", path));

	if (text.data)
		OPENSSL_cleanse(text.data, text.cap);
	str_free(&text);
	if (!ok) {
		free(e);
		return false;
	}
	e->domain = mem_slicedup(domain);
	e->selector = mem_slicedup(selector);
	e->next = keys.first;
	keys.first = e;
	keys.count++;
	return true;
}

static bool read_domain(const char *directory, const char *domain, void (*seen)(const char *path),
			struct err *err)
{
	struct str path = {0};
	DIR *dir;
	bool ok = true;

	str_printf(&path, "%s/%s", directory, domain);
	dir = opendir(str_cstr(&path));
	if (!dir) {
		ok = errno == ENOTDIR ||
		     err_set_errno(err, ERR_PERMANENT, "open directory %s", str_cstr(&path));
		str_free(&path);
		return ok;
	}
	for (struct dirent *d; ok && (d = readdir(dir));) {
		struct slice name = slice_of(d->d_name);

		if (d->d_name[0] == '.' || !slice_ends_nocase(name, SLICE(SUFFIX)))
			continue;
		str_clear(&path);
		str_printf(&path, "%s/%s/%s", directory, domain, d->d_name);
		ok = add_key(str_cstr(&path), slice_of(domain),
			     slice_sub(name, 0, name.len - (sizeof(SUFFIX) - 1)), err);
		if (ok)
			seen(str_cstr(&path));
	}
	closedir(dir);
	str_free(&path);
	return ok;
}

bool keys_read(const char *directory, void (*seen)(const char *path), struct err *err)
{
	DIR *dir = opendir(directory);
	bool ok = true;

	if (!dir)
		return errno == ENOENT ||
		       err_set_errno(err, ERR_PERMANENT, "open directory %s", directory);
	for (struct dirent *d; ok && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			ok = read_domain(directory, d->d_name, seen, err);
	closedir(dir);
	return ok;
}

const struct dkim_private_key *keys_find(struct slice domain, struct slice selector)
{
	for (const struct entry *e = keys.first; e; e = e->next)
		if (slice_eq_nocase(domain, slice_of(e->domain)) &&
		    slice_eq_nocase(selector, slice_of(e->selector)))
			return &e->key;
	return NULL;
}

size_t keys_count(void)
{
	return keys.count;
}

void keys_free(void)
{
	for (struct entry *e = keys.first, *next; e; e = next) {
		next = e->next;
		dkim_private_key_free(&e->key);
		free(e->domain);
		free(e->selector);
		free(e);
	}
	keys.first = NULL;
	keys.count = 0;
}
