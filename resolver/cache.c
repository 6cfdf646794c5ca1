/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/base/str.h"
#include "resolver/cache.h"

#define BUCKETS 16384

struct entry {
	struct entry *next;              /* of the same hash */
	struct entry *newer, *older;     /* order of use */
	struct arena *arena;
	struct slice name;
	enum dns_type type;
	struct dns_answer answer;
	double made, expires;
	unsigned hits;
	size_t size;
};

struct cache {
	size_t limit, used, count;
	double stale_time;
	struct entry *newest, *oldest;
	struct entry *buckets[BUCKETS];
};

struct cache *cache_create(size_t bytes, double stale_time)
{
	struct cache *c = mem_alloc(sizeof(*c));

	c->limit = bytes;
	c->stale_time = stale_time;
	return c;
}

static struct entry **bucket_of(struct cache *c, struct slice name, enum dns_type type)
{
	return &c->buckets[(slice_hash_nocase(name) + (uint64_t)type * 0x9e3779b97f4a7c15u) % BUCKETS];
}

static void unlink_use(struct cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void remove_entry(struct cache *c, struct entry *e)
{
	struct entry **at = bucket_of(c, e->name, e->type);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	unlink_use(c, e);
	c->used -= e->size;
	c->count--;
	arena_free(&(struct arena *){ e->arena });
}

void cache_free(struct cache **cp)
{
	if (!*cp)
		return;
	while ((*cp)->newest)
		remove_entry(*cp, (*cp)->newest);
	free(*cp);
	*cp = NULL;
}

static struct entry *find(struct cache *c, struct slice name, enum dns_type type)
{
	struct entry *e = *bucket_of(c, name, type);

	while (e && !(e->type == type && slice_eq_nocase(e->name, name)))
		e = e->next;
	return e;
}

enum cache_result cache_find(struct cache *c, struct slice name, enum dns_type type, double now,
			     const struct dns_answer **answer)
{
	struct entry *e = find(c, name, type);

	if (!e)
		return CACHE_MISS;
	if (now >= e->expires + c->stale_time) {
		remove_entry(c, e);
		return CACHE_MISS;
	}
	unlink_use(c, e);
	link_newest(c, e);
	*answer = &e->answer;
	if (now >= e->expires)
		return CACHE_STALE;
	/* Only what is in use is worth asking again, and once. */
	if (++e->hits > 1 && e->expires - now < (e->expires - e->made) / 10 && e->hits < 1u << 30) {
		e->hits = 1u << 30;
		return CACHE_REFRESH;
	}
	return CACHE_HIT;
}

void cache_put(struct cache *c, struct slice name, enum dns_type type, const struct dns_answer *answer, double ttl,
	       double now)
{
	struct entry *old = find(c, name, type), **bucket, *e;
	struct arena *arena = arena_create(512);

	e = arena_alloc(arena, sizeof(*e));
	e->arena = arena;
	e->name = arena_slice(arena, name);
	e->type = type;
	e->answer = *answer;
	e->answer.canonical = arena_slice(arena, answer->canonical);
	e->answer.records = arena_alloc(arena, (answer->count + 1) * sizeof(*answer->records));
	for (size_t i = 0; i < answer->count; i++) {
		e->answer.records[i] = answer->records[i];
		e->answer.records[i].name = arena_slice(arena, answer->records[i].name);
		e->answer.records[i].data = arena_slice(arena, answer->records[i].data);
	}
	e->made = now;
	e->expires = now + ttl;
	e->size = arena_used(arena) + 256;
	if (old)
		remove_entry(c, old);
	bucket = bucket_of(c, name, type);
	e->next = *bucket;
	*bucket = e;
	link_newest(c, e);
	c->used += e->size;
	c->count++;
	while (c->used > c->limit && c->oldest != e)
		remove_entry(c, c->oldest);
}

size_t cache_count(const struct cache *c)
{
	return c->count;
}

size_t cache_bytes(const struct cache *c)
{
	return c->used;
}
