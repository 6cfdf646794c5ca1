/* SPDX-License-Identifier: ISC */
/* What the types of this folder have in common: a table is its settings, its query and its servers. */
#ifndef POSTRIDER_TABLES_SERVERS_SERVER_TABLE_H
#define POSTRIDER_TABLES_SERVERS_SERVER_TABLE_H

#include "tables/query.h"
#include "tables/servers/pool.h"
#include "tables/table_types.h"

struct server_table {
	struct table_settings *settings;
	struct table_query *query;
	struct server_pool *pool;
	long timeout;             /* seconds for a connection, and for an answer */
	void *own;                /* of the type; freed with free() */
};

/* What struct server_kind's `ask` gets; its `settings` is the struct server_table. */
struct server_question {
	struct slice key;
	struct query_result result;
};

/* The settings, `timeout` of them read.  NULL with ERR_SYNTAX or ERR_TEMPORARY. */
struct server_table *server_table_create(const char *name, struct err *err) MUST_USE;
/* Completes it: the first template, and the servers that `setting` lists (`missing` when it is not set). */
bool server_table_start(struct server_table *table, const struct server_kind *kind, const char *query,
			const char *setting, const char *missing, struct err *err) MUST_USE;

/* For struct table_type. */
void server_table_close(void *impl);
bool server_table_changed(void *impl);
enum table_result server_table_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				      struct err *err) MUST_USE;

/* For `ask`: begins anew; adds a value through result_format (SERVER_VALUE_MAX bytes in all). */
#define SERVER_VALUE_MAX ((size_t)16 << 20)
void server_question_restart(struct server_question *question);
bool server_question_add(struct server_question *question, const struct server_table *table, struct slice value,
			 struct err *err) MUST_USE;
/* Waits for a descriptor (TASK_READ, TASK_WRITE) in a worker thread.  False: ERR_TIMEOUT. */
bool server_wait(int fd, int events, double until, struct err *err) MUST_USE;

#endif
