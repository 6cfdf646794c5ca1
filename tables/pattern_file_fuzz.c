/* SPDX-License-Identifier: ISC */
/* Files of patterns from anywhere, and keys from anywhere: a type, a key, a line break, and the file. */
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/table.h"
#include "tests/support/fuzz.h"

/* What regcomp() itself makes of a wild pattern is not ours to test: it may take gigabytes. */
static bool is_tame(struct slice text)
{
	return slice_find(text, '{') < 0 && slice_find(text, '*') < 0 && slice_find(text, '+') < 0 &&
	       slice_find(text, '\\') < 0 && text.len < 300;
}

static void ask(const char *type, int file, struct slice key)
{
	struct arena *arena = arena_create(0);
	struct str spec = { 0 };
	struct err err = { 0 };
	struct slice value;

	str_printf(&spec, "%s:/proc/self/fd/%d", type, file);
	struct table *table = table_open(str_cstr(&spec), &err);

	FUZZ_CHECK(table);
	switch (table_lookup(table, key, arena, &value, &err)) {
	case TABLE_FOUND:
		FUZZ_CHECK(value.ptr);
		break;
	case TABLE_NOT_FOUND:
		FUZZ_CHECK(value.len == 0);
		break;
	case TABLE_ERROR:
		FUZZ_CHECK(err.code == ERR_TEMPORARY && strstr(err.text, str_cstr(&spec)));
		break;
	}
	table_close(&table);
	str_free(&spec);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int file = -1;
	struct cursor c = cursor_make(data, size);
	unsigned type = cursor_u8(&c) % 3;
	struct slice text = cursor_bytes(&c, cursor_left(&c)), key;

	fuzz_quiet();
	if (file < 0)
		file = memfd_create("table", MFD_CLOEXEC);
	slice_cut(&text, '\n', &key);
	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, text.ptr, text.len, 0) == (ssize_t)text.len);
	if (type == 0)
		ask("cidr", file, key);
	else if (type == 1 && is_tame(text))
		ask("regexp", file, key);
#ifdef HAVE_PCRE
	else if (type == 2)
		ask("pcre", file, key);
#endif
	return 0;
}
