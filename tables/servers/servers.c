/* SPDX-License-Identifier: ISC */
#include "tables/servers/servers.h"

#include <stddef.h>

void server_types_add(void)
{
	static bool done;

	if (done)
		return;
	done = true;
#ifdef HAVE_LDAP
	table_types_add(&table_ldap);
#endif
#ifdef HAVE_MYSQL
	table_types_add(&table_mysql);
#endif
#ifdef HAVE_PGSQL
	table_types_add(&table_pgsql);
#endif
#ifdef HAVE_REDIS
	table_types_add(&table_redis);
#endif
	table_types_add(&table_socketmap);
#ifdef HAVE_SQLITE
	table_types_add(&table_sqlite);
#endif
	table_types_add(&table_tcp);
}
