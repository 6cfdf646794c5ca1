/* SPDX-License-Identifier: ISC */
/* The forms of an address that a table is asked for, in Postfix's order. */
#include "common/mail/address.h"
#include "tables/table.h"

static struct slice join(struct arena *arena, struct slice local, struct slice domain)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

enum table_result table_list_lookup_address(struct table_list *list, struct slice address,
					    const struct table_address_style *style, struct arena *arena,
					    struct slice *value, struct err *err)
{
	struct slice local, domain, user, extension, forms[5];
	size_t count = 0;
	bool extended;

	address_split(address, &local, &domain);
	extended = address_split_extension(local, style->recipient_delimiter, &user, &extension);
	forms[count++] = address;
	if (extended && domain.len > 0)
		forms[count++] = join(arena, user, domain);
	if (style->local_parts) {
		forms[count++] = local;
		if (extended)
			forms[count++] = user;
	}
	if (style->at_domain && domain.len > 0)
		forms[count++] = join(arena, SLICE(""), domain);
	*value = SLICE_NONE;
	for (size_t i = 0; i < count; i++) {
		struct table_question question = { .key = forms[i], .partial = i > 0 };
		enum table_result result = table_list_ask(list, &question, arena, err);

		*value = question.value;
		if (result != TABLE_NOT_FOUND)
			return result;
	}
	return TABLE_NOT_FOUND;
}
