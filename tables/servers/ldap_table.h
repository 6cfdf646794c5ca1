/* SPDX-License-Identifier: ISC */
/* The parts of ldap: ldap.c reads the settings, ldap_connect.c connects, ldap_search.c asks. */
#ifndef POSTRIDER_TABLES_SERVERS_LDAP_TABLE_H
#define POSTRIDER_TABLES_SERVERS_LDAP_TABLE_H

#include <ldap.h>

#include "tables/servers/server_table.h"

enum ldap_bind { LDAP_BIND_NONE, LDAP_BIND_SIMPLE, LDAP_BIND_WITH_SASL };

/* What an attribute of the table's lists is for; a name may be in several. */
#define LDAP_RESULT   1u
#define LDAP_SPECIAL  2u   /* DNs and URLs to follow */
#define LDAP_TERMINAL 4u   /* alone, where it is there */
#define LDAP_LEAF     8u   /* not where something is to follow */

struct ldap_attribute {
	char *name;
	unsigned use;
};

#define LDAP_ATTRIBUTES_MAX 64

struct ldap_own {
	long port, version, dereference, size_limit, recursion_limit, debuglevel, sasl_minssf;
	bool chase_referrals, start_tls, tls_require_cert;
	int scope;
	enum ldap_bind bind;
	bool base_varies;         /* search_base depends on the key: it need not exist */
	struct ldap_attribute attributes[LDAP_ATTRIBUTES_MAX];
	size_t attribute_count;
	char *names[LDAP_ATTRIBUTES_MAX + 1]; /* the same, for the library */
};

/* Templates of the table's query. */
#define LDAP_TEMPLATE_FILTER 0
#define LDAP_TEMPLATE_BASE   1

/* Calls of struct server_kind. */
void *ldap_table_connect(const void *settings, const struct server_host *host, double deadline, struct err *err);
void ldap_table_disconnect(void *connection);
enum server_result ldap_table_ask(void *connection, const void *settings, void *question, double deadline,
				  struct err *err);

/* Sets *err to what the library's code says; returns false. */
bool ldap_say(struct err *err, const char *what, int rc);
struct timeval ldap_timeval(double seconds);

#endif
