/* SPDX-License-Identifier: ISC */
/*
 * Idle connections, kept by next hop for a short time, so that the next
 * message finds one.  One cache a process; runs on the main stack and in tasks, never waits.
 */
#ifndef POSTRIDER_DELIVERY_SMTP_CACHE_H
#define POSTRIDER_DELIVERY_SMTP_CACHE_H

#include "delivery/smtp/session.h"

struct smtp_cache;
struct smtp_cache *smtp_cache_create(const struct smtp_settings *settings);
/* Closes all that is kept. */
void smtp_cache_free(struct smtp_cache **cache);
/* A delivery to that next hop starts now: its frequency decides what is kept. */
void smtp_cache_note(struct smtp_cache *cache, struct slice nexthop);
/* A connection that seems to live; NULL when there is none. */
struct smtp_session *smtp_cache_take(struct smtp_cache *cache, struct slice nexthop);
/* Keeps the session or closes it; true when it is kept.  *session is NULL afterwards. */
bool smtp_cache_give(struct smtp_cache *cache, struct smtp_session **session);
size_t smtp_cache_count(const struct smtp_cache *cache);

#endif
