/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mail/address_scan.h"

/* What is found, as "address|text" between newlines; "!" where it is malformed. */
static const char *walk(const char *value, struct arena *arena)
{
	struct address_scan scan = { .rest = slice_of(value) };
	struct address_place place;
	struct str out = { 0 };
	char *result;
	int found;

	while ((found = address_scan_next(&scan, arena, &place)) > 0)
		str_printf(&out, "%.*s|%.*s%s\n", SLICE_FMT(place.address), SLICE_FMT(place.text),
			   place.null ? "|null" : place.quoted ? "|quoted" : "");
	if (found < 0)
		str_append_text(&out, "!");
	result = arena_cstr(arena, str_slice(&out));
	str_free(&out);
	return result;
}

static void places(void **state)
{
	static const char *const cases[][2] = {
		{ "a@b", "a@b|a@b\n" },
		{ "a@b, c@d", "a@b|a@b\nc@d|c@d\n" },
		{ "a@b c@d", "a@b|a@b\nc@d|c@d\n" },
		{ "Bob Smith <bob@x>, \"A, B\" <c@d> (x)", "bob@x|bob@x\nc@d|c@d\n" },
		{ "undisclosed recipients", "undisclosed|undisclosed\nrecipients|recipients\n" },
		{ "undisclosed recipients:;", "" },
		{ "grp: joe, ann; last@x", "joe|joe\nann|ann\nlast@x|last@x\n" },
		{ "bob (Bob, x@y)", "bob|bob\n" },
		{ "bob @ x . y", "bob@x.y|bob @ x . y\n" },
		{ "<@r1,@r2:a@b>", "a@b|a@b\n" },
		{ "< a@b >", "a@b|a@b\n" },
		{ "<>", "||null\n" },
		{ "\"x y\"@c", "x y@c|\"x y\"@c|quoted\n" },
		{ "\"a\\\"b\"@c", "a\"b@c|\"a\\\"b\"@c|quoted\n" },
		{ "a@[1.2.3.4], b", "a@[1.2.3.4]|a@[1.2.3.4]\nb|b\n" },
		{ "site!user, user%far", "site!user|site!user\nuser%far|user%far\n" },
		{ "\xc3\xbc@b", "\xc3\xbc@b|\xc3\xbc@b\n" },
		{ "", "" },
		{ " ,;, ", "" },
		{ "a@b, \"open", "a@b|a@b\n!" },
		{ "a@b, (open", "a@b|a@b\n!" },
		{ "<a@b", "!" },
		{ "a@[1", "!" },
		{ "a>b", "!" },
		{ "<a@b> junk, c@d", "a@b|a@b\njunk|junk\nc@d|c@d\n" },
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(walk(cases[i][0], arena), cases[i][1]);
	arena_free(&arena);
}

/* Words without end are walked over once, not once a word. */
static void long_rows(void **state)
{
	struct arena *arena = arena_create(0);
	struct address_scan scan;
	struct address_place place;
	struct str value = { 0 };
	size_t count = 0;

	for (int i = 0; i < 200000; i++)
		str_append_text(&value, "a ");
	scan = (struct address_scan){ .rest = str_slice(&value) };
	while (address_scan_next(&scan, arena, &place) > 0)
		count++;
	assert_int_equal(count, 200000);
	str_append_text(&value, "<b@c>");
	scan = (struct address_scan){ .rest = str_slice(&value) };
	assert_int_equal(address_scan_next(&scan, arena, &place), 1);
	assert_true(slice_eq(place.address, SLICE("b@c")));
	assert_int_equal(address_scan_next(&scan, arena, &place), 0);
	str_free(&value);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(places), cmocka_unit_test(long_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
