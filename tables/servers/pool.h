/* SPDX-License-Identifier: ISC */
/*
 * The servers behind a table: several hosts, connections that are kept, what
 * blocks in worker threads.  A host that fails rests for a while, longer each time; a lookup
 * takes the next one.  Connections that nobody has used for a minute are closed.
 */
#ifndef POSTRIDER_TABLES_SERVERS_POOL_H
#define POSTRIDER_TABLES_SERVERS_POOL_H

#include "common/base/err.h"
#include "common/base/slice.h"

/* Lookups at a time in one table, each with a worker thread and a connection of its own. */
#define SERVER_LOOKUPS 8

struct server_host {
	const char *text;         /* as configured: for messages */
	const char *name;         /* host, or path of a Unix socket; a URI whole */
	const char *port;         /* NULL: the default */
	bool local;               /* a Unix socket: tried before the others */
	bool uri;
};

enum server_result {
	SERVER_DONE,              /* answered: found or not is the question's business */
	SERVER_FAILED,            /* an error that no other host would do better with */
	SERVER_REFUSED,           /* the host has an error to tell; the connection is good */
	SERVER_LOST               /* the connection is not; with ERR_TIMEOUT the host is not asked again now */
};

/* What a type of server does; all of it in worker threads, a connection in one at a time. */
struct server_kind {
	/* NULL: *err says why.  `deadline` in seconds of server_clock(). */
	void *(*connect)(const void *settings, const struct server_host *host, double deadline, struct err *err);
	void (*disconnect)(void *connection);
	/* `question` may be asked more than once: it begins anew each time. */
	enum server_result (*ask)(void *connection, const void *settings, void *question, double deadline,
				  struct err *err);
	bool ordered;             /* hosts are tried in the order of the list, not at random */
	bool uris;                /* words with "://" are taken whole */
};

struct server_pool;
/*
 * `hosts`: words "unix:/path", "inet:host:port", "host", "[::1]:port".  `settings` is handed to the calls of
 * `kind`; `name` (of the table) is for messages.  Both must outlive the pool.  NULL with ERR_SYNTAX.
 */
struct server_pool *server_pool_create(const struct server_kind *kind, const void *settings, const char *hosts,
				       const char *name, struct err *err) MUST_USE;
/* Nobody may be asking. */
void server_pool_free(struct server_pool **pool);
/*
 * Asks; in a task it suspends, elsewhere it blocks.  At most SERVER_PATIENCE seconds.  False: *err
 * is ERR_TEMPORARY and names the host.
 */
#define SERVER_PATIENCE 45.0
bool server_pool_ask(struct server_pool *pool, void *question, struct err *err) MUST_USE;

/* Monotonic seconds; in any thread. */
double server_clock(void);
/* The earlier of a deadline and `seconds` from now, as seconds from now: at least a little. */
double server_time_left(double deadline, double seconds);

#endif
