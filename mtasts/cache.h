/* SPDX-License-Identifier: ISC */
/* Policies that were fetched, in memory and in a file that outlives the process. */
#ifndef POSTRIDER_MTASTS_CACHE_H
#define POSTRIDER_MTASTS_CACHE_H

#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/sts_policy.h"

#define CACHE_MAX 20000u           /* domains */

struct cached {
	struct cached *next;
	char *domain;                  /* lower case */
	char id[STS_ID_MAX + 1];
	struct str text;               /* the policy as fetched; empty: none */
	double fetched, expires;       /* wall clock; expires 0: no policy */
	double retry;                  /* not fetched again before */
	bool fetching;
	struct task_event fetched_event;
	unsigned users;                /* tasks that hold it: it is not to be freed */
};

struct cache;
/* `fd` of the file (kept open, −1: none) is read; what is damaged in it is passed over. */
struct cache *cache_create(int fd, double now);
struct cached *cache_find(struct cache *cache, struct slice domain);
/* Never NULL: makes room by giving up what ends first. */
struct cached *cache_find_or_make(struct cache *cache, struct slice domain);
void cache_store(struct cache *cache, struct cached *c, struct slice id, struct slice text, double max_age, double now);
/* Writes the file when something has changed.  False: it could not be written. */
bool cache_save(struct cache *cache, double now);
/* The next one whose policy should be looked at again before it ends; NULL: none. */
struct cached *cache_due(struct cache *cache, double now);

#endif
