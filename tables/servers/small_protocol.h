/* SPDX-License-Identifier: ISC */
/* Tables that a program serves with a protocol of one question and one answer: what socketmap and tcp have in common. */
#ifndef POSTRIDER_TABLES_SERVERS_SMALL_PROTOCOL_H
#define POSTRIDER_TABLES_SERVERS_SMALL_PROTOCOL_H

#include "common/base/str.h"
#include "tables/servers/pool.h"
#include "tables/table_types.h"

#define SMALL_TIMEOUT 30.0      /* seconds for a connection, and for an answer */

struct small_table {
	struct server_pool *pool;
	char *spec;              /* for messages */
	char *map;               /* of socketmap: which one the server is asked for */
};

/* What struct server_kind's `ask` gets; its `settings` is the struct small_table. */
struct small_question {
	struct slice key;
	bool found;
	struct str value;
};

/* `server`: "inet:host:port", "unix:path"; `map` may be NULL.  NULL with ERR_SYNTAX. */
struct small_table *small_table_open(const struct server_kind *kind, const char *server, const char *map,
				     struct err *err) MUST_USE;
/* For struct table_type. */
void small_table_close(void *impl);
enum table_result small_table_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				     struct err *err) MUST_USE;

#endif
