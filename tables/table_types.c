/* SPDX-License-Identifier: ISC */
#include "common/base/log.h"
#include "tables/table_types.h"

static const struct table_type *const types[] = {
#if defined(HAVE_BDB) || defined(HAVE_LMDB)
	&table_btree,
#endif
#ifdef HAVE_CDB
	&table_cdb,
#endif
	&table_cidr, &table_environ, &table_fail,
#if defined(HAVE_BDB) || defined(HAVE_LMDB)
	&table_hash,
#endif
	&table_inline,
#ifdef HAVE_LMDB
	&table_lmdb,
#endif
#ifdef HAVE_PCRE
	&table_pcre,
#endif
	&table_pipemap, &table_randmap, &table_regexp, &table_static, &table_texthash, &table_unionmap, &table_unix,
};

#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

/* Types of servers: proxymap and commands have them, the other processes know their names. */
static const char *const server_types[] = { "ldap", "mysql", "pgsql", "redis", "socketmap", "sqlite", "tcp" };
#define SERVER_COUNT (sizeof(server_types) / sizeof(server_types[0]))

static const struct table_type *added[SERVER_COUNT];
static size_t added_count;

void table_types_add(const struct table_type *type)
{
	BUG_IF(added_count == SERVER_COUNT);
	added[added_count++] = type;
}

bool table_type_is_outside(struct slice name)
{
	const struct table_type *type = table_type_find(name);

	for (size_t i = 0; i < SERVER_COUNT; i++)
		if (slice_eq(name, slice_of(server_types[i])))
			return true;
	return type && type->outside;
}

bool table_type_wants_whole(struct slice name)
{
	const struct table_type *type = table_type_find(name);

	return type ? type->whole_keys : slice_eq(name, SLICE("tcp"));
}

const struct table_type *table_type_at(size_t index)
{
	if (index < TYPE_COUNT)
		return types[index];
	return index - TYPE_COUNT < added_count ? added[index - TYPE_COUNT] : NULL;
}

const struct table_type *table_type_find(struct slice name)
{
	const struct table_type *type;

	for (size_t i = 0; (type = table_type_at(i)) != NULL; i++)
		if (slice_eq(name, slice_of(type->name)))
			return type;
	return NULL;
}
