/* SPDX-License-Identifier: ISC */
#include "auth/limits.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"

#define MAGIC     0x3130636e746c6f67u
#define SETS      2048
#define WAYS      8      /* logins of a set: the one that began longest ago makes room */

struct slot {
	uint64_t key[2];         /* of SHA-256 of the name; both 0: free */
	double since;            /* wall clock: the count began */
	uint64_t messages, recipients;
	uint64_t told;           /* the postmaster knows: 1 in this unit, 2 in the last one */
};

struct file {
	uint64_t magic;
	uint64_t size;
	struct slot slots[SETS][WAYS];
};

struct limits {
	struct file *file;
};

struct limits *limits_open(const char *path, struct err *err)
{
	struct limits *limits;
	struct stat st;
	void *map = MAP_FAILED;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || fstat(fd, &st) != 0 || (st.st_size != (off_t)sizeof(struct file) && ftruncate(fd, 0) != 0) ||
	    ftruncate(fd, (off_t)sizeof(struct file)) != 0 ||
	    (map = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
		err_set_errno(err, ERR_PERMANENT, "open %s", path);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		return NULL;
	limits = mem_alloc(sizeof(*limits));
	limits->file = map;
	if (limits->file->magic != MAGIC || limits->file->size != sizeof(struct file)) {
		memset(limits->file, 0, sizeof(struct file));
		limits->file->magic = MAGIC;
		limits->file->size = sizeof(struct file);
	}
	return limits;
}

void limits_close(struct limits **limits)
{
	munmap((*limits)->file, sizeof(struct file));
	free(*limits);
	*limits = NULL;
}

static bool make_key(struct slice user, uint64_t key[2])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct str name = { 0 };
	unsigned len = 0;
	bool ok;

	str_append_lower(&name, user);
	ok = EVP_Digest(name.data, name.len, hash, &len, EVP_sha256(), NULL) == 1 && len >= 16;
	str_free(&name);
	if (ok)
		memcpy(key, hash, 16);
	key[0] |= ok;
	return ok;
}

static struct slot *find_slot(struct limits *limits, const uint64_t key[2], double now)
{
	struct slot *set = limits->file->slots[key[1] % SETS], *oldest = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key[0] == key[0] && set[i].key[1] == key[1])
			return &set[i];
		if (set[i].key[0] == 0 || set[i].since < oldest->since)
			oldest = &set[i];
	}
	*oldest = (struct slot){ .key = { key[0], key[1] }, .since = now };
	return oldest;
}

/* A new count where the old one's time is over, or lies in the future: the clock was set. */
static void begin_anew(struct slot *slot, double unit, double now)
{
	if (now >= slot->since && now < slot->since + unit)
		return;
	slot->told = now >= slot->since && now < slot->since + 2 * unit && slot->told == 1 ? 2 : 0;
	slot->since = now;
	slot->messages = slot->recipients = 0;
}

static bool is_over(uint64_t limit, uint64_t count, uint64_t more)
{
	return limit > 0 && more > 0 && (count >= limit || more > limit - count);
}

void limits_count(struct limits *limits, const struct auth_counting *counting, const struct limits_rule *rule, double now,
		  struct auth_verdict *verdict, bool *first)
{
	uint64_t key[2] = { 0, 0 };
	struct slot *slot;

	*verdict = (struct auth_verdict){ .over = AUTH_WITHIN };
	*first = false;
	if ((rule->messages == 0 && rule->recipients == 0) || !make_key(counting->user, key))
		return;
	slot = find_slot(limits, key, now);
	begin_anew(slot, rule->unit, now);
	if (is_over(rule->messages, slot->messages, counting->messages)) {
		verdict->over = AUTH_OVER_MESSAGES;
		verdict->limit = rule->messages;
	} else if (is_over(rule->recipients, slot->recipients, counting->recipients)) {
		verdict->over = AUTH_OVER_RECIPIENTS;
		verdict->limit = rule->recipients;
	} else {
		slot->messages += counting->messages;
		slot->recipients += counting->recipients;
		return;
	}
	verdict->seconds = (uint64_t)(slot->since + rule->unit - now) + 1;
	*first = slot->told == 0;
	slot->told = 1;
}
