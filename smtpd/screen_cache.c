/* SPDX-License-Identifier: ISC */
#include "smtpd/screen_cache.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/file.h"

#define GROUPS   32768u      /* power of two */
#define WAYS     4u          /* entries of a group */
#define RECORD   (16 + 4 * SCREEN_TESTS + 4)

struct record {
	unsigned char address[16];     /* IPv4: ::ffff:a.b.c.d */
	uint32_t until[SCREEN_TESTS];
};

static bool key_of(const char *address, unsigned char key[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(key, mapped, sizeof(mapped));
	return inet_pton(AF_INET, address, key + 12) == 1 || inet_pton(AF_INET6, address, key) == 1;
}

/* Not slice_hash, whose seed is each process's own.  Whoever fills a group pushes out its own kind only. */
static off_t group_of(const unsigned char key[16])
{
	return (off_t)(crc32c(0, key, 16) & (GROUPS - 1)) * (off_t)(WAYS * RECORD);
}

static bool read_group(int fd, off_t at, struct record list[WAYS])
{
	unsigned char raw[WAYS * RECORD];

	memset(list, 0, WAYS * sizeof(*list));
	if (file_read_at(fd, raw, sizeof(raw), (uint64_t)at) != (ssize_t)sizeof(raw))
		return false;
	for (unsigned i = 0; i < WAYS; i++) {
		const unsigned char *one = raw + i * RECORD;
		struct cursor c = cursor_make(one, RECORD);

		cursor_skip(&c, RECORD - 4);
		if (cursor_u32(&c) != crc32c(1, one, RECORD - 4))
			continue;
		cursor_seek(&c, 16);
		memcpy(list[i].address, one, 16);
		for (int t = 0; t < SCREEN_TESTS; t++)
			list[i].until[t] = cursor_u32(&c);
	}
	return true;
}

static void write_record(int fd, off_t at, const struct record *r)
{
	unsigned char raw[RECORD];
	struct packer p = packer_make(raw, sizeof(raw));

	packer_bytes(&p, slice_make(r->address, 16));
	for (int t = 0; t < SCREEN_TESTS; t++)
		packer_u32(&p, r->until[t]);
	packer_u32(&p, crc32c(1, raw, RECORD - 4));
	/* A cache: what cannot be written is tested again. */
	if (pwrite(fd, raw, sizeof(raw), at) < 0)
		return;
}

int screen_cache_open(const char *path, struct err *err)
{
	off_t size = (off_t)GROUPS * WAYS * RECORD;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || (st.st_size != size && (ftruncate(fd, 0) != 0 || ftruncate(fd, size) != 0))) {
		err_set_errno(err, ERR_TEMPORARY, "open %s", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

void screen_cache_find(int fd, const char *address, struct screen_passed *passed)
{
	struct record list[WAYS];
	unsigned char key[16];

	*passed = (struct screen_passed){ 0 };
	if (!key_of(address, key) || !read_group(fd, group_of(key), list))
		return;
	for (unsigned i = 0; i < WAYS; i++)
		for (int t = 0; t < SCREEN_TESTS && memcmp(list[i].address, key, 16) == 0; t++)
			passed->until[t] = list[i].until[t];
}

static uint32_t last_of(const struct record *r)
{
	uint32_t last = 0;

	for (int t = 0; t < SCREEN_TESTS; t++)
		last = r->until[t] > last ? r->until[t] : last;
	return last;
}

void screen_cache_store(int fd, const char *address, const struct screen_passed *passed, double now)
{
	struct record list[WAYS];
	unsigned char key[16];
	unsigned place = 0;

	if (!key_of(address, key) || !read_group(fd, group_of(key), list))
		return;
	for (unsigned i = 0; i < WAYS; i++) {
		if (memcmp(list[i].address, key, 16) == 0 && last_of(&list[i]) > 0) {
			place = i;
			break;
		}
		if (last_of(&list[i]) < last_of(&list[place]))
			place = i;
	}
	if (memcmp(list[place].address, key, 16) != 0)
		memset(&list[place], 0, sizeof(list[place]));
	memcpy(list[place].address, key, 16);
	for (int t = 0; t < SCREEN_TESTS; t++)
		if (passed->until[t] > now)
			list[place].until[t] = (uint32_t)passed->until[t];
	write_record(fd, group_of(key) + (off_t)(place * RECORD), &list[place]);
}
