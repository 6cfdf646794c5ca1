/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "qmgr/deferred.h"

struct deferred {
	struct deferred_message **buckets, **heap;
	size_t bucket_count, count, room;
	size_t unknown;             /* entries whose sites are not known */
};

struct deferred *deferred_create(void)
{
	struct deferred *d = mem_alloc(sizeof(*d));

	d->bucket_count = 1024;
	d->buckets = mem_alloc(d->bucket_count * sizeof(*d->buckets));
	return d;
}

static void entry_free(struct deferred_message *m)
{
	free(m->sites);
	free(m);
}

void deferred_free(struct deferred **dp)
{
	struct deferred *d = *dp;

	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++)
		entry_free(d->heap[i]);
	free(d->heap);
	free(d->buckets);
	free(d);
	*dp = NULL;
}

/* --- the heap --- */

static void place(struct deferred *d, size_t at, struct deferred_message *m)
{
	d->heap[at] = m;
	m->position = at;
}

static void sift_up(struct deferred *d, struct deferred_message *m)
{
	size_t at = m->position;

	while (at > 0 && d->heap[(at - 1) / 2]->time > m->time) {
		place(d, at, d->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(d, at, m);
}

static void sift_down(struct deferred *d, struct deferred_message *m)
{
	size_t at = m->position;

	for (;;) {
		size_t child = at * 2 + 1;

		if (child + 1 < d->count && d->heap[child + 1]->time < d->heap[child]->time)
			child++;
		if (child >= d->count || d->heap[child]->time >= m->time)
			break;
		place(d, at, d->heap[child]);
		at = child;
	}
	place(d, at, m);
}

/* --- the index --- */

static struct deferred_message **find(const struct deferred *d, struct slice id)
{
	struct deferred_message **at = &d->buckets[slice_hash(id) % d->bucket_count];

	while (*at && !slice_eq(slice_of((*at)->id), id))
		at = &(*at)->next;
	return at;
}

static void grow_index(struct deferred *d)
{
	free(d->buckets);
	d->bucket_count *= 4;
	d->buckets = mem_alloc(d->bucket_count * sizeof(*d->buckets));
	for (size_t i = 0; i < d->count; i++) {
		struct deferred_message **bucket =
			&d->buckets[slice_hash(slice_of(d->heap[i]->id)) % d->bucket_count];

		d->heap[i]->next = *bucket;
		*bucket = d->heap[i];
	}
}

static struct deferred_message *add(struct deferred *d, struct slice id)
{
	struct deferred_message *m = mem_alloc(sizeof(*m) + id.len + 1), **bucket;

	if (d->count >= d->bucket_count * 2)
		grow_index(d);
	if (d->count == d->room) {
		d->room = d->room ? d->room * 2 : 256;
		d->heap = mem_realloc(d->heap, d->room * sizeof(*d->heap));
	}
	memcpy(m->id, id.ptr, id.len);
	bucket = &d->buckets[slice_hash(id) % d->bucket_count];
	m->next = *bucket;
	*bucket = m;
	place(d, d->count++, m);
	d->unknown++;
	return m;
}

void deferred_put(struct deferred *d, struct slice id, double time)
{
	struct deferred_message *m = *find(d, id);

	if (!m)
		m = add(d, id);
	m->time = time;
	sift_up(d, m);
	sift_down(d, m);
}

bool deferred_flush(struct deferred *d, struct slice id, double now)
{
	struct deferred_message *m = *find(d, id);

	if (!m)
		return false;
	m->flushed = true;
	if (m->time > now)
		deferred_put(d, id, now);
	return true;
}

bool deferred_remove(struct deferred *d, struct slice id)
{
	struct deferred_message **at = find(d, id), *m = *at;

	if (!m)
		return false;
	*at = m->next;
	struct deferred_message *last = d->heap[--d->count];

	if (last != m) {
		place(d, m->position, last);
		sift_up(d, last);
		sift_down(d, last);
	}
	d->unknown -= !m->sites_known;
	entry_free(m);
	return true;
}

bool deferred_has(const struct deferred *d, struct slice id)
{
	return *find(d, id) != NULL;
}

size_t deferred_count(const struct deferred *d)
{
	return d->count;
}

double deferred_next_time(const struct deferred *d)
{
	return d->count ? d->heap[0]->time : 1e18;
}

bool deferred_take_due(struct deferred *d, double now, char id[MESSAGE_ID_SIZE], bool *flushed)
{
	if (d->count == 0 || d->heap[0]->time > now)
		return false;
	snprintf(id, MESSAGE_ID_SIZE, "%s", d->heap[0]->id);
	*flushed = d->heap[0]->flushed;
	deferred_remove(d, slice_of(id));
	return true;
}

const struct deferred_message *deferred_at(const struct deferred *d, size_t index)
{
	return index < d->count ? d->heap[index] : NULL;
}

void deferred_set_sites(struct deferred *d, struct slice id, const uint32_t *hashes, size_t count)
{
	struct deferred_message *m = *find(d, id);

	if (!m)
		return;
	d->unknown -= !m->sites_known;
	m->sites_known = true;
	free(m->sites);
	m->sites = NULL;
	if (count == 0)
		return;
	m->sites = mem_alloc((count + 1) * sizeof(*m->sites));
	m->sites[0] = (uint32_t)count;
	memcpy(m->sites + 1, hashes, count * sizeof(*hashes));
}

bool deferred_all_known(const struct deferred *d)
{
	return d->unknown == 0;
}

static bool goes_to(const struct deferred_message *m, uint32_t hash)
{
	for (uint32_t i = 1; m->sites && i <= m->sites[0]; i++)
		if (m->sites[i] == hash || m->sites[i] == 0)
			return true;
	return false;
}

size_t deferred_flush_site(struct deferred *d, uint32_t hash, double now)
{
	size_t count = 0;

	for (size_t i = 0; i < d->count; i++) {
		if (!goes_to(d->heap[i], hash))
			continue;
		count++;
		d->heap[i]->flushed = true;
		if (d->heap[i]->time > now)
			d->heap[i]->time = now;
	}
	for (size_t i = d->count / 2; count > 0 && i > 0; i--)
		sift_down(d, d->heap[i - 1]);
	return count;
}

void deferred_all_due(struct deferred *d, double now)
{
	for (size_t i = 0; i < d->count; i++) {
		d->heap[i]->flushed = true;
		if (d->heap[i]->time > now)
			d->heap[i]->time = now;
	}
	/* Those that were due keep their places above: a heap still. */
}
