/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/str.h"
#include "tables/table.h"
#include "tests/support/fuzz.h"

static int file = -1;

static void ask(const char *spec, struct slice key)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	struct table_list *list = table_list_open(spec, &err);
	struct table_address_style style = { "+", true, true };
	struct slice value;

	if (list) {
		(void)table_list_lookup(list, key, arena, &value, &err);
		(void)table_list_lookup_address(list, key, &style, arena, &value, &err);
		(void)table_list_changed(list);
	} else {
		FUZZ_CHECK(err.code == ERR_SYNTAX);
	}
	table_list_close(&list);
	arena_free(&arena);
}

/* Files of others are not to be opened. */
static bool is_harmless(const char *spec)
{
	static const char *const with_files[] = { "hash:", "btree:", "lmdb:", "cdb:", "regexp:", "pcre:", "cidr:", "unix:" };

	for (size_t i = 0; i < sizeof(with_files) / sizeof(with_files[0]); i++)
		if (strstr(spec, with_files[i]))
			return false;
	return true;
}

/* A key, a line break, and the rest: a texthash file, an inline table, a list of tables. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), key;
	struct str spec = { 0 };

	if (file < 0)
		file = memfd_create("table", MFD_CLOEXEC);
	slice_cut(&text, '\n', &key);
	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, text.ptr, text.len, 0) == (ssize_t)text.len);
	str_printf(&spec, "texthash:/proc/self/fd/%d", file);
	ask(str_cstr(&spec), key);
	str_clear(&spec);
	str_append_text(&spec, "inline:{");
	str_append(&spec, text);
	str_append_text(&spec, "}");
	if (is_harmless(str_cstr(&spec)))
		ask(str_cstr(&spec), key);
	str_clear(&spec);
	str_append(&spec, text);
	if (is_harmless(str_cstr(&spec)))
		ask(str_cstr(&spec), key);
	str_free(&spec);
	return 0;
}
