/* SPDX-License-Identifier: ISC */
#include "common/mail/address.h"
#include "tests/support/fuzz.h"

/* An address that a parser gave: safe in a line, and itself again when quoted and parsed. */
static void check_address(struct slice address, struct arena *arena)
{
	struct slice quoted, again, rest, local, domain, user, extension;
	struct err err;

	FUZZ_CHECK(fuzz_printable(address));
	address_split(address, &local, &domain);
	FUZZ_CHECK(address.len == 0 || local.len + domain.len <= address.len);
	if (address_split_extension(local, "+-", &user, &extension))
		FUZZ_CHECK(user.len > 0 && user.len + extension.len + 1 == local.len);
	if (address.len == 0)
		return;
	quoted = slice_of(arena_printf(arena, "<%.*s>", SLICE_FMT(address_quote(arena, address))));
	FUZZ_CHECK(fuzz_printable(quoted));
	/* A path with nothing behind it, whatever the quoted text in it was. */
	if (address_parse_path(quoted, true, true, arena, &again, &rest, &err))
		FUZZ_CHECK(rest.len == 0 && (slice_eq(again, address) || slice_ends_nocase(domain, SLICE("."))));
	else
		FUZZ_CHECK(!address_valid_hostname(domain) && !address_valid_literal(domain));
}

/* The first byte: options.  The rest: a path with parameters, a list, a host name, a literal. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct address_list list;
	struct slice text, address, rest;
	struct err err;
	bool utf8 = size > 0 && data[0] & 2;

	text = size ? slice_make(data + 1, size - 1) : SLICE_NONE;
	if (address_parse_path(text, size > 0 && data[0] & 1, utf8, arena, &address, &rest, &err)) {
		FUZZ_CHECK(utf8 || address_is_ascii(address));
		FUZZ_CHECK(address_valid_utf8(address) && fuzz_inside(rest, data, size));
		check_address(address, arena);
	}
	if (address_parse_list(text, arena, &list, &err))
		for (size_t i = 0; i < list.count; i++)
			FUZZ_CHECK(list.address[i].len > 0 && fuzz_printable(list.address[i]));
	if (address_valid_hostname(text) || address_valid_literal(text))
		FUZZ_CHECK(fuzz_printable(text) && text.len < 256 && slice_find(text, ' ') < 0);
	arena_free(&arena);
	return 0;
}
