/* SPDX-License-Identifier: ISC */
/*
 * The types of tables that a server holds.  Their client libraries are large, so only
 * proxymap and the commands link this folder (libpostrider-servers.a); the other processes ask proxymap.
 */
#ifndef POSTRIDER_TABLES_SERVERS_SERVERS_H
#define POSTRIDER_TABLES_SERVERS_SERVERS_H

#include "tables/table_types.h"

/* Makes them known (table_types_add), but for those whose library was missing at build time; once. */
void server_types_add(void);

extern const struct table_type table_ldap, table_mysql, table_pgsql, table_redis, table_socketmap, table_sqlite,
	table_tcp;

#endif
