/* SPDX-License-Identifier: ISC */
/*
 * Messages that wait for their time: an index by ID and a heap by time, about
 * 64 bytes a message.  No directory is read to find what is due.
 */
#ifndef POSTRIDER_QMGR_DEFERRED_H
#define POSTRIDER_QMGR_DEFERRED_H

#include "common/base/slice.h"
#include "common/mail/message_file.h"

struct deferred;
struct deferred_message {
	double time;                     /* of the next attempt */
	size_t position;                 /* in the heap */
	struct deferred_message *next;   /* of the same hash */
	uint32_t *sites;                 /* hashes of where it goes, their number first; NULL: none */
	bool sites_known;
	bool flushed;                    /* due because somebody asked for it */
	char id[];
};

struct deferred *deferred_create(void);
void deferred_free(struct deferred **d);
/* Adds, or changes the time of what is there. */
void deferred_put(struct deferred *d, struct slice id, double time);
/* False: it was not there. */
bool deferred_remove(struct deferred *d, struct slice id);
bool deferred_has(const struct deferred *d, struct slice id);
size_t deferred_count(const struct deferred *d);
/* Time of the first; a very large number when empty. */
double deferred_next_time(const struct deferred *d);
/* Takes the first off if it is due at `now`. */
bool deferred_take_due(struct deferred *d, double now, char id[MESSAGE_ID_SIZE], bool *flushed);
/* Makes it due at `now` because somebody asks.  False: it is not there. */
bool deferred_flush(struct deferred *d, struct slice id, double now);
/* Where a message goes; nothing happens when it is not there. */
void deferred_set_sites(struct deferred *d, struct slice id, const uint32_t *hashes, size_t count);
bool deferred_all_known(const struct deferred *d);
/* Makes those that go to the site (or to any, hash 0) due at `now`: how many. */
size_t deferred_flush_site(struct deferred *d, uint32_t hash, double now);
/* The same for all. */
void deferred_all_due(struct deferred *d, double now);
/* In no order; NULL at the end. */
const struct deferred_message *deferred_at(const struct deferred *d, size_t index);

#endif
