/* SPDX-License-Identifier: ISC */
/* Answers by name and type, least recently used out first; time is the caller's. */
#ifndef POSTRIDER_RESOLVER_CACHE_H
#define POSTRIDER_RESOLVER_CACHE_H

#include "common/proto/resolver_proto.h"

struct cache;
struct cache *cache_create(size_t bytes, double stale_time);
void cache_free(struct cache **cache);
enum cache_result {
	CACHE_MISS,
	CACHE_HIT,
	CACHE_REFRESH, /* a hit that was asked for before and ends soon: time to ask again */
	CACHE_STALE    /* past its time; serves when no server answers */
};
/* *answer points into the cache: valid until the next call that changes it. */
enum cache_result cache_find(struct cache *cache, struct slice name, enum dns_type type, double now,
			     const struct dns_answer **answer);
/* Keeps a copy for `ttl` seconds. */
void cache_put(struct cache *cache, struct slice name, enum dns_type type, const struct dns_answer *answer,
	       double ttl, double now);
size_t cache_count(const struct cache *cache);
size_t cache_bytes(const struct cache *cache);

#endif
