/* SPDX-License-Identifier: ISC */
/* What a table type provides.  One file a type; registered in table_types.c. */
#ifndef POSTRIDER_TABLES_TABLE_TYPES_H
#define POSTRIDER_TABLES_TABLE_TYPES_H

#include "tables/table.h"

struct table_type {
	const char *name;
	bool folds;    /* keys are folded to lower case before lookup */
	bool whole_keys; /* patterns: not asked for parts of addresses and names (struct table_question's `partial`) */
	bool outside;  /* needs a server, a socket or a program: from a sandbox through proxymap */
	void *(*open)(const char *name, struct err *err);
	void (*close)(void *impl);
	enum table_result (*lookup)(void *impl, struct slice key, struct arena *arena, struct slice *value,
				    struct err *err);
	bool (*changed)(void *impl); /* NULL: never */
	bool (*wants_whole)(void *impl); /* instead of whole_keys, where it depends on the table */
};

extern const struct table_type table_btree, table_cdb, table_cidr, table_environ, table_fail, table_hash,
	table_inline, table_lmdb, table_pcre, table_pipemap, table_randmap, table_regexp, table_static, table_texthash,
	table_unionmap, table_unix;
const struct table_type *table_type_find(struct slice name);
const struct table_type *table_type_at(size_t index); /* NULL at the end */
/* Adds a type that only some programs have (tables/servers); before tables are opened. */
void table_types_add(const struct table_type *type);
/* Does it answer whole keys only?  Also of types that this program does not have. */
bool table_type_wants_whole(struct slice name);
/* Does this type, one of this program or of proxymap, need the outside? */
bool table_type_is_outside(struct slice name);

/* The next word of a list of tables or values; a pair of braces keeps its text together. */
bool table_next_spec(struct slice *rest, struct slice *spec);

#endif
