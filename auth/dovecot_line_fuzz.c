/* SPDX-License-Identifier: ISC */
#include "auth/dovecot_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as lines of Dovecot's; what is taken apart is put together again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), one;
	struct dovecot_line line;
	struct str plain = { 0 }, escaped = { 0 }, again = { 0 };

	while (text.len > 0) {
		slice_cut(&text, '\n', &one);
		if (!dovecot_parse(one, &line))
			continue;
		str_clear(&plain);
		str_clear(&escaped);
		str_clear(&again);
		dovecot_unescape(line.kind == DOVECOT_FAIL ? line.reason : line.user, &plain);
		dovecot_put(&escaped, "x", str_slice(&plain));
		if (escaped.len < 3)
			continue;
		dovecot_unescape(slice_sub(str_slice(&escaped), 3, escaped.len), &again);
		if (!slice_eq(str_slice(&again), str_slice(&plain)) ||
		    slice_find(slice_sub(str_slice(&escaped), 1, escaped.len), '\t') >= 0)
			__builtin_trap();
	}
	str_free(&plain);
	str_free(&escaped);
	str_free(&again);
	return 0;
}
