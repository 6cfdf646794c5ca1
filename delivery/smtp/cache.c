/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/cache.h"

#include <ev.h>
#include <stdlib.h>

#include "common/base/task.h"

#define BUCKETS  1024u       /* power of two */
#define LATELY   10.0        /* seconds in which a second delivery makes a destination busy */
#define FRESH    0.02        /* seconds in which a server is not expected to hang up */
#define KEPT_MAX 500u        /* idle connections */
#define REPLY_KEPT 512u      /* memory of a reply that an idle session may hold */

struct recent {
	uint64_t hash;
	double last, before;
};

struct smtp_cache {
	const struct smtp_settings *settings;
	struct smtp_session *bucket[BUCKETS]; /* newest first */
	struct recent recent[BUCKETS];        /* one slot a hash: a collision costs a reuse, nothing else */
	struct smtp_session *oldest, *newest; /* by time of expiry */
	size_t count;
	struct ev_timer timer;
};

static uint64_t key(struct slice nexthop)
{
	return slice_hash_nocase(nexthop);
}

static void detach(struct smtp_cache *c, struct smtp_session *s)
{
	struct smtp_session **at = &c->bucket[key(slice_of(s->nexthop)) & (BUCKETS - 1)];

	while (*at && *at != s)
		at = &(*at)->next_same;
	if (*at)
		*at = s->next_same;
	if (s->prev_older)
		s->prev_older->next_older = s->next_older;
	else
		c->oldest = s->next_older;
	if (s->next_older)
		s->next_older->prev_older = s->prev_older;
	else
		c->newest = s->prev_older;
	s->next_same = s->next_older = s->prev_older = NULL;
	c->count--;
}

static void drop(struct smtp_cache *c, struct smtp_session *s)
{
	detach(c, s);
	smtp_session_free(&s);
}

static void schedule(struct smtp_cache *c)
{
	double delay;

	if (ev_is_active(&c->timer) || !c->oldest)
		return;
	delay = c->oldest->expires - loop_now();
	ev_timer_set(&c->timer, delay > 0.01 ? delay : 0.01, 0.0);
	ev_timer_start(loop_get(), &c->timer);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
	struct smtp_cache *c = w->data;

	while (c->oldest && c->oldest->expires <= loop_now())
		drop(c, c->oldest);
	schedule(c);
}

struct smtp_cache *smtp_cache_create(const struct smtp_settings *settings)
{
	struct smtp_cache *c = mem_alloc(sizeof(*c));

	c->settings = settings;
	ev_timer_init(&c->timer, on_timer, 0.0, 0.0);
	c->timer.data = c;
	return c;
}

void smtp_cache_free(struct smtp_cache **cp)
{
	struct smtp_cache *c = *cp;

	if (!c)
		return;
	while (c->oldest)
		drop(c, c->oldest);
	ev_timer_stop(loop_get(), &c->timer);
	free(c);
	*cp = NULL;
}

void smtp_cache_note(struct smtp_cache *c, struct slice nexthop)
{
	uint64_t hash = key(nexthop);
	struct recent *r = &c->recent[hash & (BUCKETS - 1)];

	if (r->hash != hash)
		*r = (struct recent){ .hash = hash };
	r->before = r->last;
	r->last = loop_now();
}

static bool busy_destination(const struct smtp_cache *c, struct slice nexthop)
{
	uint64_t hash = key(nexthop);
	const struct recent *r = &c->recent[hash & (BUCKETS - 1)];

	return r->hash == hash && loop_now() - r->before < LATELY;
}

struct smtp_session *smtp_cache_take(struct smtp_cache *c, struct slice nexthop)
{
	struct smtp_session *s = c->bucket[key(nexthop) & (BUCKETS - 1)];

	while (s) {
		struct smtp_session *next = s->next_same;

		if (slice_eq_nocase(slice_of(s->nexthop), nexthop)) {
			/*
			 * Input on an idle connection is its end, or a farewell.  Not worth a
			 * look just after use: a lost connection is replaced by a new one anyway.
			 */
			bool fresh = s->expires - loop_now() > c->settings->cache_time - FRESH;

			if (s->expires > loop_now() && stream_pending(s->stream) == 0 &&
			    (fresh || !stream_input_ready(s->stream))) {
				detach(c, s);
				return s;
			}
			s->broken = true;
			drop(c, s);
		}
		s = next;
	}
	return NULL;
}

bool smtp_cache_give(struct smtp_cache *c, struct smtp_session **sp)
{
	struct smtp_session *s = *sp;
	const struct smtp_settings *set = c->settings;
	double now = loop_now();
	struct smtp_session **head;

	if (!s)
		return false;
	*sp = NULL;
	if (s->broken || !s->keep || set->cache_time <= 0 || c->count >= KEPT_MAX || now - s->opened > set->reuse_time ||
	    (set->reuse_count > 0 && s->uses >= (unsigned long)set->reuse_count) ||
	    !busy_destination(c, slice_of(s->nexthop))) {
		smtp_session_free(&s);
		return false;
	}
	if (s->reply.text.cap > REPLY_KEPT)
		smtp_reply_free(&s->reply);
	s->expires = now + set->cache_time;
	head = &c->bucket[key(slice_of(s->nexthop)) & (BUCKETS - 1)];
	s->next_same = *head;
	*head = s;
	s->prev_older = c->newest;
	s->next_older = NULL;
	if (c->newest)
		c->newest->next_older = s;
	else
		c->oldest = s;
	c->newest = s;
	c->count++;
	schedule(c);
	return true;
}

size_t smtp_cache_count(const struct smtp_cache *c)
{
	return c->count;
}
