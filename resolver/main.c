/* SPDX-License-Identifier: ISC */
/* resolver: asks the name servers for all other processes, once for all who ask the same. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "resolver/cache.h"
#include "resolver/upstream.h"
#include "common/proto/dns_wire.h"

#define STALE_TTL     30
#define FLIGHTS_MAX   20000
#define FLIGHT_BUCKETS 4096

struct caller {
	struct ipc_channel *channel;
};

struct waiter {
	struct waiter *next;
	struct caller *caller;   /* NULL: gone meanwhile */
	uint32_t request;
};

/* A question on its way to the servers. */
struct flight {
	struct flight *next;
	struct slice name;
	enum dns_type type;
	struct arena *arena;
	struct waiter *waiters;
};

static struct {
	struct upstream *upstream;
	struct cache *cache;
	double min_ttl, max_ttl;
	struct flight *flights[FLIGHT_BUCKETS];
	size_t in_flight;
	struct task_group tasks;
	struct resolver_counters counters;
} me;

static void send_answer(struct caller *c, uint32_t request, const struct dns_answer *answer)
{
	struct ipc_out packet;

	if (resolver_put_answer(&packet, request, answer))
		(void)ipc_send(c->channel, &packet);
}

static void send_status(struct caller *c, uint32_t request, enum dns_status status)
{
	send_answer(c, request, &(struct dns_answer){ .status = status });
}

/* --- questions on their way --- */

static struct flight **bucket_of(struct slice name, enum dns_type type)
{
	return &me.flights[(slice_hash_nocase(name) + (uint64_t)type) % FLIGHT_BUCKETS];
}

static void settle(struct flight *f, const struct dns_answer *answer)
{
	struct flight **at = bucket_of(f->name, f->type);

	for (struct waiter *w = f->waiters; w; w = w->next)
		if (w->caller)
			send_answer(w->caller, w->request, answer);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	me.in_flight--;
}

static void fly(void *arg)
{
	struct flight *f = arg;
	struct arena *arena = f->arena;
	struct dns_answer answer, old;
	const struct dns_answer *cached;
	uint32_t ttl;

	me.counters.upstream++;
	upstream_ask(me.upstream, f->name, f->type, arena, &answer, &ttl);
	if (answer.status != DNS_TEMPORARY) {
		double seconds = ttl < me.min_ttl ? me.min_ttl : ttl > me.max_ttl ? me.max_ttl : ttl;

		cache_put(me.cache, f->name, f->type, &answer, seconds, loop_now());
		settle(f, &answer);
	} else if (cache_find(me.cache, f->name, f->type, loop_now(), &cached) != CACHE_MISS) {
		me.counters.stale++;
		old = *cached;
		old.stale = true;
		for (size_t i = 0; i < old.count; i++)
			old.records[i].ttl = STALE_TTL;
		settle(f, &old);
	} else {
		me.counters.temporary++;
		settle(f, &answer);
	}
	arena_free(&arena);
}

static struct flight *find_flight(struct slice name, enum dns_type type)
{
	struct flight *f = *bucket_of(name, type);

	while (f && !(f->type == type && slice_eq_nocase(f->name, name)))
		f = f->next;
	return f;
}

/* NULL: too many, or no memory for a task. */
static struct flight *start_flight(struct slice name, enum dns_type type)
{
	struct arena *arena;
	struct flight *f, **bucket;

	if (me.in_flight >= FLIGHTS_MAX)
		return NULL;
	arena = arena_create(1024);
	f = arena_alloc(arena, sizeof(*f));
	f->arena = arena;
	f->name = arena_slice(arena, name);
	f->type = type;
	if (!task_spawn(&me.tasks, fly, f)) {
		arena_free(&arena);
		return NULL;
	}
	bucket = bucket_of(name, type);
	f->next = *bucket;
	*bucket = f;
	me.in_flight++;
	return f;
}

static void ask(struct caller *c, uint32_t request, struct slice name, enum dns_type type)
{
	struct flight *f = find_flight(name, type);
	struct waiter *w;

	if (!f)
		f = start_flight(name, type);
	if (!f) {
		send_status(c, request, DNS_TEMPORARY);
		return;
	}
	w = arena_alloc(f->arena, sizeof(*w));
	*w = (struct waiter){ f->waiters, c, request };
	f->waiters = w;
}

/* --- callers --- */

static void send_counters(struct caller *c, uint32_t request)
{
	struct ipc_out packet;

	me.counters.entries = cache_count(me.cache);
	me.counters.bytes = cache_bytes(me.cache);
	me.counters.in_flight = me.in_flight;
	if (resolver_put_counters(&packet, request, &me.counters))
		(void)ipc_send(c->channel, &packet);
}

static void answer_question(struct caller *c, const struct ipc_in *m)
{
	const struct dns_answer *answer;
	uint8_t scratch[WIRE_QUERY_MAX];
	struct slice name;
	enum dns_type type;

	me.counters.questions++;
	if (m->type != RESOLVER_QUERY || !resolver_get_query(m, &name, &type) ||
	    wire_query(0, name, type, scratch) == 0) {
		send_status(c, m->request, DNS_INVALID);
		return;
	}
	switch (cache_find(me.cache, name, type, loop_now(), &answer)) {
	case CACHE_REFRESH:
		me.counters.hits++;
		send_answer(c, m->request, answer);
		if (!find_flight(name, type))
			(void)start_flight(name, type);
		break;
	case CACHE_HIT:
		me.counters.hits++;
		send_answer(c, m->request, answer);
		break;
	case CACHE_STALE:
	case CACHE_MISS:
		ask(c, m->request, name, type);
		break;
	}
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	if (m->type == RESOLVER_STATUS)
		send_counters(context, m->request);
	else
		answer_question(context, m);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct caller *c = context;

	for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
		for (struct flight *f = me.flights[i]; f; f = f->next)
			for (struct waiter *w = f->waiters; w; w = w->next)
				if (w->caller == c)
					w->caller = NULL;
	ipc_channel_free(&c->channel);
	free(c);
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct caller *c = mem_alloc(sizeof(*c));

	c->channel = ipc_channel_create(fd, &resolver_protocol, &handler, c);
}

static void accept_command(int fd, const struct sockaddr *address, socklen_t len)
{
	peer(fd, "command");
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;

	if (!*config_text(c, "resolver_nameservers"))
		process_watch_file("/etc/resolv.conf");
	me.upstream = upstream_create(config_text(c, "resolver_nameservers"), err);
	me.cache = cache_create((size_t)config_int(c, "resolver_cache_size"), config_time(c, "resolver_stale_time"));
	me.min_ttl = config_time(c, "resolver_min_ttl");
	me.max_ttl = config_time(c, "resolver_max_ttl");
	return me.upstream != NULL;
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .peer = peer, .accept = accept_command };

	return process_main(argc, argv, &ops);
}
