/* SPDX-License-Identifier: ISC */
#include "tlsmgr/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/tls/chain.h"
#include "common/tls/remote_key.h"

#define FILE_MAX (1u << 20)
#define BUCKETS  256
#define KEYS_MAX 100000

struct key {
	struct key *next;
	EVP_PKEY *key;
	unsigned char id[REMOTE_KEY_ID_SIZE];
};

static struct {
	struct key *buckets[BUCKETS];
	size_t count;
} me;

EVP_PKEY *keys_find(struct slice id)
{
	struct key *k = id.len == REMOTE_KEY_ID_SIZE ? me.buckets[(unsigned char)id.ptr[0]] : NULL;

	while (k && memcmp(k->id, id.ptr, REMOTE_KEY_ID_SIZE) != 0)
		k = k->next;
	return k ? k->key : NULL;
}

static void add(EVP_PKEY *key, void *context)
{
	unsigned char id[REMOTE_KEY_ID_SIZE];
	struct key *k;

	if (!remote_key_id(key, id) || keys_find(slice_make(id, sizeof(id))) || me.count == KEYS_MAX) {
		EVP_PKEY_free(key);
		return;
	}
	k = mem_alloc(sizeof(*k));
	k->key = key;
	memcpy(k->id, id, sizeof(id));
	k->next = me.buckets[id[0]];
	me.buckets[id[0]] = k;
	me.count++;
}

bool keys_read(struct slice pem, const char *where, struct err *err)
{
	return chain_keys(pem, where, add, NULL, err);
}

bool keys_read_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	struct stat st;
	ssize_t got;
	bool ok;

	if (fd < 0 || fstat(fd, &st) != 0) {
		err_set_errno(err, ERR_PERMANENT, "open %s", path);
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (st.st_mode & S_IROTH)
		log_warning("%s: anybody can read this private key: chmod o-r", path);
	text = mem_alloc(FILE_MAX);
	got = read(fd, text, FILE_MAX);
	close(fd);
	ok = got >= 0 ? keys_read(slice_make(text, (size_t)got), path, err) :
			err_set_errno(err, ERR_PERMANENT, "read %s", path);
	OPENSSL_cleanse(text, FILE_MAX);
	free(text);
	return ok;
}

size_t keys_count(void)
{
	return me.count;
}

void keys_free(void)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (me.buckets[i]) {
			struct key *k = me.buckets[i];

			me.buckets[i] = k->next;
			EVP_PKEY_free(k->key);
			free(k);
		}
	}
	me.count = 0;
}
