/* SPDX-License-Identifier: ISC */
#include "anvil/counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/str.h"

#define BUCKETS_FIRST 256

/* The sessions that one smtpd has with a client. */
struct share {
	struct share *next;
	const void *owner;
	uint64_t sessions;
};

struct entry {
	struct entry *next;
	uint64_t hash;
	struct share *shares;
	uint64_t connections;
	double since[ANVIL_EVENTS];        /* when the unit of an event began; it holds while events[] is not 0 */
	uint64_t events[ANVIL_EVENTS];
	size_t len;
	char name[];                       /* "service:client" */
};

struct maximum {
	uint64_t value;
	time_t when;
	char name[2 * ANVIL_NAME_MAX + 2];
};

struct counts {
	struct entry **buckets;
	size_t bucket_count, count;
	double unit;
	bool full;                         /* said in the log */
	struct maximum rates[ANVIL_EVENTS], connections, size;
};

struct counts *counts_create(double unit)
{
	struct counts *c = mem_alloc(sizeof(*c));

	c->unit = unit;
	c->bucket_count = BUCKETS_FIRST;
	c->buckets = mem_alloc(c->bucket_count * sizeof(struct entry *));
	return c;
}

static void free_entry(struct entry *e)
{
	for (struct share *s = e->shares, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(e);
}

void counts_free(struct counts **counts)
{
	struct counts *c = *counts;

	if (!c)
		return;
	for (size_t i = 0; i < c->bucket_count; i++) {
		for (struct entry *e = c->buckets[i], *next; e; e = next) {
			next = e->next;
			free_entry(e);
		}
	}
	free(c->buckets);
	free(c);
	*counts = NULL;
}

/* --- the table --- */

static void name_of(const struct anvil_who *who, struct str *name)
{
	str_printf(name, "%.*s:%.*s", SLICE_FMT(who->service), SLICE_FMT(who->client));
}

static struct entry *find(const struct counts *c, struct slice name, uint64_t hash)
{
	struct entry *e = c->buckets[hash % c->bucket_count];

	while (e && !(e->hash == hash && slice_eq(slice_make(e->name, e->len), name)))
		e = e->next;
	return e;
}

static void grow(struct counts *c)
{
	size_t bucket_count = c->bucket_count * 2;
	struct entry **buckets = mem_alloc(bucket_count * sizeof(*buckets));

	for (size_t i = 0; i < c->bucket_count; i++) {
		for (struct entry *e = c->buckets[i], *next; e; e = next) {
			next = e->next;
			e->next = buckets[e->hash % bucket_count];
			buckets[e->hash % bucket_count] = e;
		}
	}
	free(c->buckets);
	c->buckets = buckets;
	c->bucket_count = bucket_count;
}

static struct entry *make(struct counts *c, struct slice name, uint64_t hash)
{
	struct entry *e;

	if (c->count >= COUNTS_CLIENTS_MAX) {
		if (!c->full)
			log_warning("%zu clients within %g s: further ones are not counted", c->count, c->unit);
		c->full = true;
		return NULL;
	}
	if (c->count >= c->bucket_count)
		grow(c);
	e = mem_alloc(sizeof(*e) + name.len + 1);
	e->hash = hash;
	e->len = name.len;
	memcpy(e->name, name.ptr, name.len);
	e->next = c->buckets[hash % c->bucket_count];
	c->buckets[hash % c->bucket_count] = e;
	c->count++;
	return e;
}

static struct share *share_of(struct entry *e, const void *owner)
{
	struct share *s = e->shares;

	while (s && s->owner != owner)
		s = s->next;
	return s;
}

/* --- counting --- */

static void note(struct maximum *m, uint64_t value, const char *name)
{
	if (value <= m->value)
		return;
	m->value = value;
	m->when = time(NULL);
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
}

static void add_session(struct entry *e, const void *owner)
{
	struct share *s = share_of(e, owner);

	if (!s) {
		s = mem_alloc(sizeof(*s));
		s->owner = owner;
		s->next = e->shares;
		e->shares = s;
	}
	s->sessions++;
	e->connections++;
}

void counts_add(struct counts *c, const struct anvil_who *who, enum anvil_event event, const void *owner, double now,
		struct anvil_counts *result)
{
	struct str name = { 0 };
	struct entry *e;
	uint64_t hash;

	name_of(who, &name);
	hash = slice_hash(str_slice(&name));
	e = find(c, str_slice(&name), hash);
	if (!e)
		e = make(c, str_slice(&name), hash);
	*result = (struct anvil_counts){ 1, 1 };
	if (e) {
		if (e->events[event] > 0 && now >= e->since[event] + c->unit)
			e->events[event] = 0;
		if (e->events[event]++ == 0)
			e->since[event] = now;
		if (event == ANVIL_CONNECT)
			add_session(e, owner);
		*result = (struct anvil_counts){ e->connections, e->events[event] };
		note(&c->rates[event], result->rate, e->name);
		note(&c->connections, result->connections, e->name);
		note(&c->size, c->count, "");
	}
	str_free(&name);
}

static void drop_share(struct entry *e, const struct share *gone)
{
	struct share **link = &e->shares, *found;

	while (*link != gone)
		link = &(*link)->next;
	found = *link;
	*link = found->next;
	e->connections -= found->sessions;
	free(found);
}

void counts_leave(struct counts *c, const struct anvil_who *who, const void *owner)
{
	struct str name = { 0 };
	struct entry *e;
	struct share *s;

	name_of(who, &name);
	e = find(c, str_slice(&name), slice_hash(str_slice(&name)));
	s = e ? share_of(e, owner) : NULL;
	if (s && s->sessions == 1) {
		drop_share(e, s);
	} else if (s) {
		s->sessions--;
		e->connections--;
	}
	str_free(&name);
}

void counts_leave_all(struct counts *c, const void *owner)
{
	for (size_t i = 0; i < c->bucket_count; i++) {
		for (struct entry *e = c->buckets[i]; e; e = e->next) {
			struct share *s = share_of(e, owner);

			if (s)
				drop_share(e, s);
		}
	}
}

static bool idle(const struct counts *c, const struct entry *e, double now)
{
	for (size_t i = 0; i < ANVIL_EVENTS; i++)
		if (e->events[i] > 0 && now < e->since[i] + c->unit)
			return false;
	return e->connections == 0;
}

void counts_sweep(struct counts *c, double now)
{
	for (size_t i = 0; i < c->bucket_count; i++) {
		for (struct entry **link = &c->buckets[i]; *link;) {
			struct entry *e = *link;

			if (!idle(c, e, now)) {
				link = &e->next;
				continue;
			}
			*link = e->next;
			free_entry(e);
			c->count--;
		}
	}
	c->full = c->full && c->count >= COUNTS_CLIENTS_MAX;
}

size_t counts_clients(const struct counts *c)
{
	return c->count;
}

/* --- statistics --- */

void counts_statistics(struct counts *c, void (*line)(const char *text, void *context), void *context)
{
	static const char *const names[ANVIL_EVENTS] = { [ANVIL_CONNECT] = "connection", [ANVIL_MESSAGE] = "message",
							 [ANVIL_RECIPIENT] = "recipient", [ANVIL_AUTH] = "auth",
							 [ANVIL_NEW_TLS] = "newtls" };
	struct str text = { 0 };
	char when[32];
	struct tm tm;

	for (size_t i = 0; i < ANVIL_EVENTS + 2; i++) {
		struct maximum *m = i < ANVIL_EVENTS ? &c->rates[i] : i == ANVIL_EVENTS ? &c->connections : &c->size;

		if (m->value == 0 || !localtime_r(&m->when, &tm))
			continue;
		(void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
		str_clear(&text);
		if (i < ANVIL_EVENTS)
			str_printf(&text, "max %s rate %llu/%.0fs for (%s) at %s", names[i], (unsigned long long)m->value, c->unit,
				   m->name, when);
		else if (i == ANVIL_EVENTS)
			str_printf(&text, "max connection count %llu for (%s) at %s", (unsigned long long)m->value, m->name, when);
		else
			str_printf(&text, "max cache size %llu at %s", (unsigned long long)m->value, when);
		line(str_cstr(&text), context);
		m->value = 0;
	}
	str_free(&text);
}
