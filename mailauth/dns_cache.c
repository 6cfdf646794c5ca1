/* SPDX-License-Identifier: ISC */
#include "mailauth/dns_cache.h"

#define PLACES      1024 /* a place for each hash: the newest question has it */
#define KEEP_MAX    60.0 /* seconds */
#define RECORDS_MAX 16
#define BYTES_MAX   4096 /* of one answer */

struct place {
	struct arena *arena;           /* NULL: empty */
	struct slice name;
	enum dns_type type;
	double until;
	struct dns_answer answer;
};

static struct place places[PLACES];

static struct place *place_of(struct slice name, enum dns_type type)
{
	return &places[(slice_hash_nocase(name) ^ ((uint64_t)type * 0x9e3779b97f4a7c15u)) % PLACES];
}

static void copy_answer(const struct dns_answer *from, struct arena *arena, struct dns_answer *to)
{
	*to = *from;
	to->canonical = arena_slice(arena, from->canonical);
	to->records = arena_alloc(arena, (from->count + 1) * sizeof(*to->records));
	for (size_t i = 0; i < from->count; i++) {
		to->records[i] = from->records[i];
		to->records[i].name = arena_slice(arena, from->records[i].name);
		to->records[i].data = arena_slice(arena, from->records[i].data);
	}
}

bool dns_cache_find(struct slice name, enum dns_type type, double now, struct arena *arena, struct dns_answer *answer)
{
	const struct place *p = place_of(name, type);

	/* A clock that was put back makes nothing live longer. */
	if (!p->arena || p->type != type || now >= p->until || now < p->until - KEEP_MAX || !slice_eq_nocase(p->name, name))
		return false;
	copy_answer(&p->answer, arena, answer);
	return true;
}

void dns_cache_keep(struct slice name, enum dns_type type, double now, const struct dns_answer *answer)
{
	struct place *p = place_of(name, type);
	double ttl = KEEP_MAX;
	size_t bytes = name.len;

	if (answer->status != DNS_OK || answer->stale || answer->count == 0 || answer->count > RECORDS_MAX)
		return;
	for (size_t i = 0; i < answer->count; i++) {
		ttl = answer->records[i].ttl < ttl ? answer->records[i].ttl : ttl;
		bytes += answer->records[i].name.len + answer->records[i].data.len;
	}
	if (ttl < 1 || bytes > BYTES_MAX)
		return;
	arena_free(&p->arena);
	p->arena = arena_create(bytes + 512);
	p->name = arena_slice(p->arena, name);
	p->type = type;
	p->until = now + ttl;
	copy_answer(answer, p->arena, &p->answer);
}

void dns_cache_clear(void)
{
	for (size_t i = 0; i < PLACES; i++)
		if (places[i].arena)
			arena_free(&places[i].arena);
}
