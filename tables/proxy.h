/* SPDX-License-Identifier: ISC */
/* Tables that proxymap opens and asks for us: those of types that need a server, a socket or a program. */
#ifndef POSTRIDER_TABLES_PROXY_H
#define POSTRIDER_TABLES_PROXY_H

#include "tables/table.h"

/* Whether tables_use_proxy was called. */
bool proxy_table_wanted(void);

struct proxy_table;
/* `spec`: "type:name" or "proxy:type:name", which proxymap serves under other conditions. */
struct proxy_table *proxy_table_create(const char *spec);
void proxy_table_free(struct proxy_table **table);
/*
 * Suspends the calling task.  TABLE_ERROR when proxymap cannot be reached, does not answer in time,
 * or says that the lookup failed.  After a time-out the table rests for a few seconds, in
 * which each lookup fails at once: who asks for many keys is not held up for each of them.
 */
enum table_result proxy_table_lookup(struct proxy_table *table, struct slice key,
				     struct arena *arena, struct slice *value, struct err *err) MUST_USE;

#endif
