/* SPDX-License-Identifier: ISC */
/*
 * Lookup tables "type:name" behind one interface; each type is one file that
 * registers itself in tables/table_types.c.
 */
#ifndef POSTRIDER_TABLES_TABLE_H
#define POSTRIDER_TABLES_TABLE_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/config/config.h"
#include "common/net/ipc.h"

struct table;

enum table_result { TABLE_FOUND = 1, TABLE_NOT_FOUND = 0, TABLE_ERROR = -1 };

/*
 * Opens "type:name" ("proxy:type:name" goes to proxymap from the sandbox).  NULL with ERR_SYNTAX: unknown type;
 * ERR_TEMPORARY: cannot be opened now — callers that must go on use table_list_open, where such a
 * table stays and answers each lookup with TABLE_ERROR.
 */
struct table *table_open(const char *spec, struct err *err) MUST_USE;
void table_close(struct table **table);
const char *table_name(const struct table *table);        /* "hash:/etc/aliases" */
/* From now on keys are not folded: for tables whose keys were not when they were built (postmap -f). */
void table_keep_case(struct table *table);
/* Key as given (case folded for types that fold); value in the arena.  An error is in *err and names the table. */
enum table_result table_lookup(struct table *table, struct slice key, struct arena *arena,
			       struct slice *value, struct err *err) MUST_USE;
/* Is it a table of patterns, not to be asked for parts of keys? */
bool table_wants_whole_keys(const struct table *table);
/* Was the file behind it replaced or rewritten since it was opened?  One fstat/stat a call. */
bool table_changed(struct table *table);

/*
 * For processes in a sandbox: from now on tables of types that need a server, a socket or a program
 * (struct table_type's `outside`) are asked through proxymap, which `connect` reaches; a lookup suspends
 * the task then.  Without this call, as in commands and proxymap itself, they are opened here.
 */
void tables_use_proxy(ipc_connect_fn *connect);
/* Is one of this process's tables asked through proxymap?  Then lookups belong into tasks. */
bool tables_may_wait(void);

/*
 * What tables take from main.cf: settings of sqlite:NAME and kin, sizes of caches.  Before tables are
 * opened; without it, defaults.  The configuration must outlive them.
 */
void tables_use_config(const struct config *config);
const struct config *tables_config(void);        /* NULL: none was given */

/* "hash:/etc/a, proxy:unix:passwd.byname static:{x y}": tried in order. */
struct table_list;
struct table_list *table_list_open(const char *specs, struct err *err) MUST_USE;
void table_list_close(struct table_list **list);
size_t table_list_count(const struct table_list *list);
struct table *table_list_at(struct table_list *list, size_t index);
bool table_list_empty(const struct table_list *list);
enum table_result table_list_lookup(struct table_list *list, struct slice key, struct arena *arena,
				    struct slice *value, struct err *err) MUST_USE;
bool table_list_changed(struct table_list *list);
/* The name of a table that could not be opened and answers nothing; NULL: all are open. */
const char *table_list_unopened(const struct table_list *list);
/*
 * The same, with more to say and to hear.  `partial`: the key is a part of an address (user, @domain, a
 * parent domain): tables of patterns, which are asked for whole addresses only, are left out.
 */
struct table_question {
	struct slice key;
	bool partial;
	struct slice value;              /* when found, in the arena */
	const char *table;               /* "hash:/etc/aliases": which one answered; valid as long as the list */
};
enum table_result table_list_ask(struct table_list *list, struct table_question *question, struct arena *arena,
				 struct err *err) MUST_USE;
/* Postfix's order for an address: user+ext@domain, user@domain, [user+ext, user when domain is local], @domain. */
struct table_address_style { const char *recipient_delimiter; bool local_parts; bool at_domain; };
enum table_result table_list_lookup_address(struct table_list *list, struct slice address,
					    const struct table_address_style *style, struct arena *arena,
					    struct slice *value, struct err *err) MUST_USE;

/*
 * A match list: mydestination, relay_domains, mynetworks: words, !negation, /file/names, type:table,
 * patterns "1.2.3.0/24", "[::1]/128", ".parent".
 */
struct match_list;
enum match_kind { MATCH_DOMAIN, MATCH_DOMAIN_PARENT, MATCH_NETWORK, MATCH_STRING };
struct match_list *match_list_open(const char *specs, enum match_kind kind, struct err *err) MUST_USE;
void match_list_close(struct match_list **list);
enum table_result match_list_test(struct match_list *list, struct slice text, struct err *err) MUST_USE;
/* Client: matches name or address (MATCH_NETWORK by address, host names too). */
enum table_result match_list_test_client(struct match_list *list, struct slice name, struct slice address, struct err *err) MUST_USE;
bool match_list_changed(struct match_list *list);

#endif
