/* SPDX-License-Identifier: ISC */
#include "tables/servers/pool.h"

#include <ev.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"

#define HOSTS_MAX   64
#define IDLE_TIME   60.0
#define REST_FIRST  1.0    /* a host that failed */
#define REST_LONGEST 30.0
#define TIME_LEAST  0.05

struct connection {
	struct connection *next;
	void *handle;
	double since;             /* when it was last used */
};

struct host {
	struct server_host address;
	struct connection *idle;
	double rest, rests_until;
	struct err reason;        /* of the rest */
};

struct server_pool {
	const struct server_kind *kind;
	const void *settings;
	const char *name;
	struct arena *arena;
	struct host hosts[HOSTS_MAX];
	size_t count;
	unsigned busy;
	struct task_event released;
	ev_timer sweep;
};

double server_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double server_time_left(double deadline, double seconds)
{
	double left = deadline - server_clock();

	if (left > seconds)
		left = seconds;
	return left < TIME_LEAST ? TIME_LEAST : left;
}

/* --- hosts --- */

/* "host:port", "[::1]:port", "/directory:port": cuts the port off. */
static const char *cut_port(char *name)
{
	char *colon = strrchr(name, ':'), *bracket = strrchr(name, ']');
	uint64_t port;

	if (name[0] == '[' && bracket) {
		*bracket = '\0';
		memmove(name, name + 1, strlen(name));
		colon = bracket[1] == ':' ? bracket + 1 : NULL;
	} else if (colon && strchr(name, ':') != colon && name[0] != '/') {
		return NULL; /* an IPv6 address without brackets */
	}
	if (!colon || !slice_to_u64(slice_of(colon + 1), &port))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static void parse_host(struct server_pool *pool, struct slice word)
{
	struct server_host *h = &pool->hosts[pool->count++].address;
	char *name = arena_cstr(pool->arena, word);

	h->text = arena_cstr(pool->arena, word);
	if (pool->kind->uris && strstr(name, "://")) {
		h->name = name;
		h->uri = true;
		return;
	}
	if (slice_starts(word, SLICE("unix:")) || slice_starts(word, SLICE("inet:")))
		name += 5;
	h->local = name[0] == '/';
	h->port = cut_port(name);
	h->name = name;
}

struct server_pool *server_pool_create(const struct server_kind *kind, const void *settings, const char *hosts,
				       const char *name, struct err *err)
{
	struct server_pool *pool = mem_alloc(sizeof(*pool));
	struct slice rest = slice_of(hosts), word;

	pool->kind = kind;
	pool->settings = settings;
	pool->name = name;
	pool->arena = arena_create(0);
	while (pool->count < HOSTS_MAX && slice_word(&rest, " ,\t\r\n", &word))
		parse_host(pool, word);
	if (pool->count > 0 && !slice_word(&rest, " ,\t\r\n", &word))
		return pool;
	err_set(err, ERR_SYNTAX, "%s: expected 1 to %d hosts", name, HOSTS_MAX);
	server_pool_free(&pool);
	return NULL;
}

/* --- connections that wait --- */

/* Closes those unused since `before`. */
static size_t close_idle(struct server_pool *pool, double before)
{
	size_t left = 0;

	for (size_t i = 0; i < pool->count; i++) {
		struct connection **at = &pool->hosts[i].idle;

		while (*at) {
			struct connection *c = *at;

			if (c->since > before) {
				at = &c->next;
				left++;
				continue;
			}
			*at = c->next;
			pool->kind->disconnect(c->handle);
			free(c);
		}
	}
	return left;
}

/* The timer alone does not keep the loop going. */
static void stop_sweep(struct server_pool *pool)
{
	if (!ev_is_active(&pool->sweep))
		return;
	ev_ref(loop_get());
	ev_timer_stop(loop_get(), &pool->sweep);
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server_pool *pool = timer->data;

	if (close_idle(pool, server_clock() - IDLE_TIME) == 0)
		stop_sweep(pool);
}

static void keep(struct server_pool *pool, struct host *host, void *handle)
{
	struct connection *c = mem_alloc(sizeof(*c));

	*c = (struct connection){ host->idle, handle, server_clock() };
	host->idle = c;
	if (!task_current() || ev_is_active(&pool->sweep))
		return;
	ev_timer_init(&pool->sweep, on_sweep, IDLE_TIME, IDLE_TIME / 2);
	pool->sweep.data = pool;
	ev_timer_start(loop_get(), &pool->sweep);
	ev_unref(loop_get());
}

static void *take_idle(struct host *host)
{
	struct connection *c = host->idle;
	void *handle = NULL;

	if (c) {
		host->idle = c->next;
		handle = c->handle;
		free(c);
	}
	return handle;
}

void server_pool_free(struct server_pool **poolp)
{
	struct server_pool *pool = *poolp;

	if (!pool)
		return;
	BUG_IF(pool->busy > 0);
	stop_sweep(pool);
	(void)close_idle(pool, server_clock());
	arena_free(&pool->arena);
	free(pool);
	*poolp = NULL;
}

/* --- asking --- */

struct attempt {
	const struct server_pool *pool;
	const struct server_host *host;
	void *handle;             /* NULL: none yet, or lost */
	void *question;
	double deadline;
	enum server_result result;
	struct err err;
};

/* A connection that was kept may have gone meanwhile: then a new one is tried. */
static void run_attempt(void *arg)
{
	struct attempt *a = arg;
	const struct server_kind *kind = a->pool->kind;
	bool kept = a->handle != NULL;

	a->result = SERVER_LOST;
	for (int tries = kept ? 2 : 1; tries > 0 && a->result == SERVER_LOST; tries--) {
		if (!a->handle)
			a->handle = kind->connect(a->pool->settings, a->host, a->deadline, &a->err);
		if (!a->handle)
			return;
		a->result = kind->ask(a->handle, a->pool->settings, a->question, a->deadline, &a->err);
		if (a->result != SERVER_LOST)
			return;
		kind->disconnect(a->handle);
		a->handle = NULL;
		/* A server that is slow is not asked the same again. */
		if (a->err.code == ERR_TIMEOUT || server_clock() >= a->deadline)
			return;
	}
}

/* Host numbers: those with a Unix socket first, else at random, unless the order is given. */
static void make_order(const struct server_pool *pool, size_t order[HOSTS_MAX])
{
	unsigned char dice[HOSTS_MAX] = { 0 };

	(void)!getrandom(dice, sizeof(dice), 0);
	for (size_t i = 0; i < pool->count; i++) {
		size_t at = i;

		if (!pool->kind->ordered) {
			at = dice[i] % (i + 1);
			order[i] = order[at];
		}
		order[at] = i;
	}
	if (pool->kind->ordered)
		return;
	/* Stable: moves the local ones to the front. */
	for (size_t i = 0, front = 0; i < pool->count; i++) {
		size_t host = order[i];

		if (!pool->hosts[host].address.local)
			continue;
		for (size_t j = i; j > front; j--)
			order[j] = order[j - 1];
		order[front++] = host;
	}
}

static void rest(struct server_pool *pool, struct host *host, const struct err *why)
{
	host->rest = host->rest > 0 ? host->rest * 2 : REST_FIRST;
	if (host->rest > REST_LONGEST)
		host->rest = REST_LONGEST;
	host->rests_until = server_clock() + host->rest;
	host->reason = *why;
	if (pool->count > 1)
		log_warning("table %s: server %s: %s", pool->name, host->address.text, why->text);
}

/* True: the question is settled, one way or the other. */
static bool ask_host(struct server_pool *pool, struct host *host, struct attempt *a)
{
	a->host = &host->address;
	a->handle = take_idle(host);
	a->err = (struct err){ 0 };
	task_offload(run_attempt, a);
	if (a->handle)
		keep(pool, host, a->handle);
	if (a->result == SERVER_LOST)
		rest(pool, host, &a->err);
	else
		host->rest = host->rests_until = 0;
	if (a->result != SERVER_DONE)
		err_prefix(&a->err, "server %s", host->address.text);
	return a->result == SERVER_DONE || a->result == SERVER_FAILED;
}

static bool ask_hosts(struct server_pool *pool, struct attempt *a, struct err *err)
{
	size_t order[HOSTS_MAX];
	bool asked = false;

	make_order(pool, order);
	for (size_t i = 0; i < pool->count; i++) {
		struct host *host = &pool->hosts[order[i]];

		if (host->rests_until > server_clock()) {
			if (!asked) {
				a->err = host->reason;
				err_prefix(&a->err, "server %s failed a moment ago", host->address.text);
			}
			continue;
		}
		asked = true;
		if (ask_host(pool, host, a))
			break;
		if (server_clock() >= a->deadline)
			break;
	}
	if (asked && a->result == SERVER_DONE)
		return true;
	*err = a->err;
	err->code = ERR_TEMPORARY;
	return false;
}

bool server_pool_ask(struct server_pool *pool, void *question, struct err *err)
{
	struct attempt a = { .pool = pool, .question = question, .deadline = server_clock() + SERVER_PATIENCE };
	bool ok;

	while (task_current() && pool->busy >= SERVER_LOOKUPS) {
		double left = a.deadline - server_clock();

		if (left <= 0 || task_event_wait(&pool->released, loop_now() + left) != TASK_READY)
			return err_set(err, ERR_TEMPORARY, "too many lookups at a time: the servers are slow");
	}
	pool->busy++;
	ok = ask_hosts(pool, &a, err);
	pool->busy--;
	task_event_signal(&pool->released);
	return ok;
}
