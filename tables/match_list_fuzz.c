/* SPDX-License-Identifier: ISC */
#include "common/base/str.h"
#include "tables/table.h"
#include "tests/support/fuzz.h"

/* A name, an address, then the patterns: a line each. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), name, address;
	struct match_list *list;
	struct str specs = { 0 };
	struct err err = { 0 };

	slice_cut(&text, '\n', &name);
	slice_cut(&text, '\n', &address);
	str_append(&specs, text);
	/* No files of the machine. */
	for (size_t i = 0; i < specs.len; i++)
		if (specs.data[i] == '/' && (i == 0 || strchr(" ,!\t\r\n", specs.data[i - 1])))
			specs.data[i] = '|';
	for (int kind = MATCH_DOMAIN; kind <= MATCH_STRING; kind++) {
		if (strstr(str_cstr(&specs), "hash:") || strstr(str_cstr(&specs), "btree:") ||
		    strstr(str_cstr(&specs), "unix:"))
			break;
		list = match_list_open(str_cstr(&specs), (enum match_kind)kind, &err);
		if (!list) {
			FUZZ_CHECK(err.code == ERR_SYNTAX);
			continue;
		}
		(void)match_list_test(list, name, &err);
		(void)match_list_test(list, address, &err);
		(void)match_list_test_client(list, name, address, &err);
		FUZZ_CHECK(!match_list_changed(list));
		match_list_close(&list);
	}
	str_free(&specs);
	return 0;
}
