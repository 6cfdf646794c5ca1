/* SPDX-License-Identifier: ISC */
/* Alias values, :include: and .forward files. */
#include "delivery/local/token.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct slice rest = slice_make(data, size);
	size_t count = 0, left = rest.len;
	struct token t;

	while (token_next(&rest, arena, &t)) {
		/* Each takes something, and nothing is made up. */
		FUZZ_CHECK(rest.len < left);
		left = rest.len;
		FUZZ_CHECK(++count <= size);
		FUZZ_CHECK(t.text.len <= size);
		FUZZ_CHECK(t.type == TOKEN_ADDRESSES || !memchr(t.text.ptr ? t.text.ptr : "", '\0', t.text.len));
		if (t.type == TOKEN_ADDRESSES)
			FUZZ_CHECK(fuzz_inside(t.text, data, size));
		if (t.type == TOKEN_FILE)
			FUZZ_CHECK(t.text.ptr[0] == '/');
	}
	arena_free(&arena);
	return 0;
}
