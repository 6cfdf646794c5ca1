/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mail/header_addresses.h"

/* "joe" has a longer name, "broken" a table that does not answer. */
static bool replace(void *context, const struct address_place *place, struct slice *to, struct err *err)
{
	if (slice_eq(place->address, SLICE("joe")))
		*to = SLICE("Joe User@example.com");
	if (slice_eq(place->address, SLICE("broken")))
		return err_set(err, ERR_TEMPORARY, "no answer");
	return true;
}

static int change(const char *text, struct str *out, size_t limit)
{
	struct arena *arena = arena_create(0);
	struct header_change how = { replace, NULL, arena, limit };
	struct slice block = slice_of(text);
	struct header_field field;
	struct err err;
	int result;

	assert_true(header_next(&block, &field));
	result = header_change_addresses(&field, &how, out, &err);
	arena_free(&arena);
	return result;
}

static void changes(void **state)
{
	static const char *const cases[][2] = {
		{ "To: joe\r\n", "To: \"Joe User\"@example.com\r\n" },
		{ "From: Joe (home) <joe>, ann@x\r\n", "From: Joe (home) <\"Joe User\"@example.com>, ann@x\r\n" },
		{ "To: grp: ann,\r\n joe (Joe);\r\n", "To: grp: ann,\r\n \"Joe User\"@example.com (Joe);\r\n" },
		{ "To: joe, \"open\r\n", "To: \"Joe User\"@example.com, \"open\r\n" },
		{ "To: ann@x, <>\r\n", NULL },
		{ "To: a-long-name-to-begin-with@some-domain-of-that-kind.example.com, joe\r\n",
		  "To: a-long-name-to-begin-with@some-domain-of-that-kind.example.com,\r\n\t\"Joe User\"@example.com\r\n" },
	};
	struct str out = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		str_clear(&out);
		assert_int_equal(change(cases[i][0], &out, 100), cases[i][1] != NULL);
		assert_string_equal(str_cstr(&out), cases[i][1] ? cases[i][1] : "");
	}
	str_clear(&out);
	assert_int_equal(change("To: joe, broken\r\n", &out, 100), -1);
	assert_int_equal(out.len, 0);
	assert_int_equal(change("To: ann, joe\r\n", &out, 1), 0);
	str_free(&out);
}

static void names(void **state)
{
	assert_int_equal(header_kind(SLICE("FROM")), HEADER_SENDER);
	assert_int_equal(header_kind(SLICE("to")), HEADER_RECIPIENT);
	assert_int_equal(header_kind(SLICE("Subject")), HEADER_PLAIN);
	assert_int_equal(header_kind(SLICE("Delivered-To")), HEADER_PLAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(changes), cmocka_unit_test(names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
