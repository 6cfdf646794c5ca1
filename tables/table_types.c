/* SPDX-License-Identifier: ISC */
#include "tables/table_types.h"

static const struct table_type *const types[] = {
	&table_btree, &table_fail, &table_hash, &table_inline, &table_static, &table_texthash, &table_unix,
};

const struct table_type *table_type_at(size_t index)
{
	return index < sizeof(types) / sizeof(types[0]) ? types[index] : NULL;
}

const struct table_type *table_type_find(struct slice name)
{
	for (size_t i = 0; table_type_at(i); i++)
		if (slice_eq(name, slice_of(types[i]->name)))
			return types[i];
	return NULL;
}
