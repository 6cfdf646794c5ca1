/* SPDX-License-Identifier: ISC */
#include "mtasts/cache.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/mail/address.h"

#define BUCKETS  4096u
#define FILE_MAX (256u << 20)
#define MAGIC    SLICE("postrider mta-sts 1\n")
#define DAY      86400.0

struct cache {
	struct cached *bucket[BUCKETS];
	size_t count;
	int fd;
	bool changed;
};

static struct cached **head(struct cache *cache, struct slice domain)
{
	return &cache->bucket[slice_hash_nocase(domain) & (BUCKETS - 1)];
}

struct cached *cache_find(struct cache *cache, struct slice domain)
{
	struct cached *c = *head(cache, domain);

	while (c && !slice_eq_nocase(slice_of(c->domain), domain))
		c = c->next;
	return c;
}

static void drop_one(struct cache *cache)
{
	struct cached **victim = NULL, *c;

	for (size_t i = 0; i < BUCKETS; i++)
		for (struct cached **at = &cache->bucket[i]; *at; at = &(*at)->next)
			if ((*at)->users == 0 && (!victim || (*at)->expires < (*victim)->expires))
				victim = at;
	if (!victim)
		return;
	c = *victim;
	*victim = c->next;
	cache->count--;
	str_free(&c->text);
	free(c->domain);
	free(c);
}

struct cached *cache_find_or_make(struct cache *cache, struct slice domain)
{
	struct cached *c = cache_find(cache, domain), **first;
	struct str lower = { 0 };

	if (c)
		return c;
	if (cache->count >= CACHE_MAX)
		drop_one(cache);
	c = mem_alloc(sizeof(*c));
	str_append_lower(&lower, domain);
	c->domain = str_detach(&lower);
	first = head(cache, domain);
	c->next = *first;
	*first = c;
	cache->count++;
	return c;
}

void cache_store(struct cache *cache, struct cached *c, struct slice id, struct slice text, double max_age, double now)
{
	memset(c->id, 0, sizeof(c->id));
	memcpy(c->id, id.ptr, id.len < STS_ID_MAX ? id.len : STS_ID_MAX);
	str_clear(&c->text);
	str_append(&c->text, text);
	c->fetched = now;
	c->expires = now + max_age;
	cache->changed = true;
}

/* --- the file: a line "domain id fetched expires length crc", then the policy, then LF --- */

static bool read_file(int fd, struct str *text)
{
	struct stat st;
	size_t done = 0;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > (off_t)FILE_MAX)
		return false;
	str_reserve(text, (size_t)st.st_size);
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, text->data + done, (size_t)st.st_size - done, (off_t)done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	text->len = done;
	return true;
}

static bool take_entry(struct cache *cache, struct slice *rest, double now)
{
	struct slice line, word[6], text;
	struct sts_policy policy;
	uint64_t fetched, expires, length, sum;
	struct cached *c;
	struct err err;

	if (!slice_cut(rest, '\n', &line))
		return false;
	for (size_t i = 0; i < 6; i++)
		if (!slice_word(&line, " ", &word[i]))
			return false;
	if (!slice_to_u64(word[2], &fetched) || !slice_to_u64(word[3], &expires) || !slice_to_u64(word[4], &length) ||
	    !slice_to_u64(word[5], &sum) || length >= rest->len || rest->ptr[length] != '\n')
		return false;
	text = slice_sub(*rest, 0, (size_t)length);
	*rest = slice_sub(*rest, (size_t)length + 1, rest->len);
	if (!address_valid_hostname(word[0]) || word[1].len > STS_ID_MAX || crc32c(0, text.ptr, text.len) != sum)
		return false;
	if ((double)expires <= now || !sts_policy_parse(text, &policy, &err))
		return true;
	c = cache_find_or_make(cache, word[0]);
	cache_store(cache, c, word[1], text, 0, now);
	c->fetched = (double)fetched < now ? (double)fetched : now;
	c->expires = (double)expires < now + STS_AGE_MAX ? (double)expires : now + STS_AGE_MAX;
	return true;
}

struct cache *cache_create(int fd, double now)
{
	struct cache *cache = mem_alloc(sizeof(*cache));
	struct str text = { 0 };

	cache->fd = fd;
	if (read_file(fd, &text) && slice_starts(str_slice(&text), MAGIC)) {
		struct slice rest = slice_sub(str_slice(&text), MAGIC.len, text.len);

		/* What was written half ends it. */
		while (rest.len > 0 && cache->count < CACHE_MAX && take_entry(cache, &rest, now))
			;
	}
	str_free(&text);
	cache->changed = false;
	return cache;
}

static void put_entry(const struct cached *c, struct str *out)
{
	str_printf(out, "%s %s %llu %llu %zu %u\n", c->domain, c->id, (unsigned long long)c->fetched,
		   (unsigned long long)c->expires, c->text.len, crc32c(0, c->text.data, c->text.len));
	str_append(out, str_slice(&c->text));
	str_append_byte(out, '\n');
}

static bool write_file(int fd, struct slice text)
{
	size_t done = 0;

	while (done < text.len) {
		ssize_t n = pwrite(fd, text.ptr + done, text.len - done, (off_t)done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return ftruncate(fd, (off_t)text.len) == 0;
}

bool cache_save(struct cache *cache, double now)
{
	struct str out = { 0 };
	bool ok;

	if (!cache->changed || cache->fd < 0)
		return true;
	str_append(&out, MAGIC);
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct cached *c = cache->bucket[i]; c; c = c->next)
			if (c->text.len > 0 && c->expires > now && out.len < FILE_MAX - 2 * STS_POLICY_MAX)
				put_entry(c, &out);
	ok = write_file(cache->fd, str_slice(&out));
	str_free(&out);
	cache->changed = !ok;
	return ok;
}

struct cached *cache_due(struct cache *cache, double now)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct cached *c = cache->bucket[i]; c; c = c->next) {
			double life = c->expires - c->fetched;
			double pause = life / 2 < DAY ? life / 2 : DAY;

			if (c->text.len > 0 && c->expires > now && !c->fetching && c->retry <= now && now - c->fetched >= pause)
				return c;
		}
	}
	return NULL;
}
