/* SPDX-License-Identifier: ISC */
/*
 * The tables that proxymap serves: those that the configuration names, and no other, so that
 * a process that was taken over cannot have a file or a server of its own choice opened.
 *
 * Servers of check_policy_service are connected to for who may not connect, as "policy:inet:host:port".
 * "type:name" is served when some parameter of main.cf, or an -o of master.cf, names it.  "proxy:type:name"
 * is served when proxy_read_maps has it, as in Postfix.  All are opened at start, with the
 * rights of root: a file with a password need not be readable by anybody else.
 */
#ifndef POSTRIDER_PROXYMAP_APPROVED_H
#define POSTRIDER_PROXYMAP_APPROVED_H

#include "common/config/config.h"
#include "tables/table.h"

struct approved_table {
	struct approved_table *next;
	char *spec;               /* as asked for, "proxy:" included */
	struct table *table;      /* NULL: could not be opened */
	struct err reason;        /* then */
	bool service;             /* no table: a server that may be connected to, "policy:inet:host:port" */
};

struct approved;
/* Never fails: a table that cannot be opened says so when it is asked.  master.cf is read from `config`'s folder. */
struct approved *approved_create(const struct config *config);
void approved_free(struct approved **approved);
/* NULL: not to be served. */
struct approved_table *approved_find(struct approved *approved, struct slice spec);
size_t approved_count(const struct approved *approved);
/* Was one of the files rewritten or replaced? */
bool approved_changed(struct approved *approved);

#endif
