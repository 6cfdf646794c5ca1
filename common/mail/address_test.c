/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/mail/address.h"

static void test_paths(void **state)
{
	static const struct {
		const char *input, *address, *rest; /* address NULL: refused */
		bool utf8;
	} cases[] = {
		{ "<a@b.c>", "a@b.c", "", false },
		{ "<>", "", "", false },
		{ "<> BODY=8BITMIME", "", "BODY=8BITMIME", false },
		{ "<a@b.c> SIZE=1 X=2", "a@b.c", "SIZE=1 X=2", false },
		{ "a@b.c", "a@b.c", "", false },
		{ "<postmaster>", "postmaster", "", false },
		{ "<@r1,@r2:a@b.c>", "a@b.c", "", false },
		{ "<\"a b\"@c.d>", "a b@c.d", "", false },
		{ "<\"a\\\"b\"@c.d>", "a\"b@c.d", "", false },
		{ "<a@[127.0.0.1]>", "a@[127.0.0.1]", "", false },
		{ "<a@[IPv6:::1]>", "a@[IPv6:::1]", "", false },
		{ "<a@b.c.>", "a@b.c", "", false },
		{ "<a..b@c.d>", "a..b@c.d", "", false },
		{ "<\xc3\xbc@b.c>", "\xc3\xbc@b.c", "", true },
		{ "<\xc3\xbc@b.c>", NULL, NULL, false },
		{ "<\xff@b.c>", NULL, NULL, true },
		{ "<a@b.c", NULL, NULL, false },
		{ "<a@b.c>x", NULL, NULL, false },
		{ "<a@>", NULL, NULL, false },
		{ "<@b.c>", NULL, NULL, false },
		{ "<a@-b.c>", NULL, NULL, false },
		{ "<a@b..c>", NULL, NULL, false },
		{ "<a@[1.2.3]>", NULL, NULL, false },
		{ "<a@[1.2.3.4>", NULL, NULL, false },
		{ "<\"a@b.c>", NULL, NULL, false },
		{ "<\"a\rb\"@b.c>", NULL, NULL, false },
		{ "<\"@b.c\">", NULL, NULL, false },
		{ "<\"@b\"@c.d>", "@b@c.d", "", false },
		{ "<>SIZE=1", NULL, NULL, false },
		{ "<a b@c.d>", NULL, NULL, false },
		{ "<a,b@c.d>", NULL, NULL, false },
		{ "<;id;@c.d>", NULL, NULL, false },
		{ "", NULL, NULL, false },
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice address, rest;
		struct err err;
		bool ok = address_parse_path(slice_of(cases[i].input), false, cases[i].utf8, arena,
					     &address, &rest, &err);

		if (ok != (cases[i].address != NULL))
			fail_msg("%s: %s", cases[i].input, ok ? address.ptr : err.text);
		if (ok) {
			assert_true(slice_eq(address, slice_of(cases[i].address)));
			assert_true(slice_eq(rest, slice_of(cases[i].rest)));
		}
	}
	arena_free(&arena);
}

static void test_lists(void **state)
{
	static const struct {
		const char *value;
		const char *addresses; /* joined by '|', NULL: refused */
	} cases[] = {
		{ "a@b.c", "a@b.c" },
		{ "a@b.c, d@e.f", "a@b.c|d@e.f" },
		{ "\"Doe, John\" <j@d.e>, x@y.z", "j@d.e|x@y.z" },
		{ "John (the one) Doe <j@d.e>", "j@d.e" },
		{ "team: a@b.c, B <b@b.c>;, x@y.z", "a@b.c|b@b.c|x@y.z" },
		{ "undisclosed-recipients:;", "" },
		{ "(nested (comment)) a@b.c", "a@b.c" },
		{ "a @ b.c", "a@b.c" },
		{ "=?utf-8?q?J=C3=B6rg?= <j@d.e>", "j@d.e" },
		{ "user", "user" },
		{ ", ,a@b.c,,", "a@b.c" },
		{ "<a@b.c", NULL },
		{ "\"open a@b.c", NULL },
		{ "\"a\001b\"@b.c", NULL },
		{ "\"a\177b\"@b.c", NULL },
		{ "\"a\r\n b\"@b.c", "a b@b.c" },
		{ "\"a\r\n\tb\" <a@b.c>", "a@b.c" },
		{ "(open a@b.c", NULL },
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address_list list;
		struct err err;
		char joined[200] = "";
		bool ok = address_parse_list(slice_of(cases[i].value), arena, &list, &err);

		assert_int_equal(ok, cases[i].addresses != NULL);
		for (size_t j = 0; ok && j < list.count; j++)
			snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
				 j ? "|" : "", list.address[j].ptr);
		if (ok)
			assert_string_equal(joined, cases[i].addresses);
	}
	arena_free(&arena);
}

static void test_quote_round_trip(void **state)
{
	static const char *const inputs[] = { "a@b", "a b@c", "a\"b@c", "a\\@c", ".a@b", "a@b@c" };
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct slice quoted = address_quote(arena, slice_of(inputs[i])), address, rest;
		struct err err;

		assert_true(address_parse_path(quoted, false, false, arena, &address, &rest, &err));
		assert_true(slice_eq(address, slice_of(inputs[i])));
	}
	arena_free(&arena);
}

/* What stands behind the last '@' of a quoted local part must not get out of its brackets. */
static void test_quote_keeps_a_path_whole(void **state)
{
	static const struct {
		const char *address, *quoted;
	} cases[] = {
		{ "a@b> SIZE=1", "\"a@b> SIZE=1\"" },
		{ "a@b>,<c@d", "\"a@b>,<c\"@d" },
		{ "a@b c", "\"a@b c\"" },
		{ "a@\"b", "\"a@\\\"b\"" },
		{ "a@", "\"a@\"" },
		{ "a@[127.0.0.1]", "a@[127.0.0.1]" },
		{ "a@[127.0.0.1> X", "\"a@[127.0.0.1> X\"" },
		{ "a@b_c.d-", "a@b_c.d-" },
	};
	struct arena *arena = arena_create(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice quoted = address_quote(arena, slice_of(cases[i].address));

		if (!slice_eq(quoted, slice_of(cases[i].quoted)))
			fail_msg("%s became %.*s", cases[i].address, SLICE_FMT(quoted));
	}
	arena_free(&arena);
}

static void test_names_and_literals(void **state)
{
	static const struct {
		struct slice text;
		bool name, literal;
	} cases[] = {
		{ SLICE("example.com"), true, false }, { SLICE("a_b.c-d.9"), true, false },
		{ SLICE(""), false, false },           { SLICE("a..b"), false, false },
		{ SLICE(".a"), false, false },         { SLICE("a."), false, false },
		{ SLICE("-a.b"), false, false },       { SLICE("a-.b"), false, false },
		{ SLICE("a b"), false, false },        { SLICE("a\0b"), false, false },
		{ SLICE("[192.0.2.1]"), false, true }, { SLICE("[IPv6:2001:db8::1]"), false, true },
		{ SLICE("[192.0.2.256]"), false, false }, { SLICE("[2001:db8::1]"), false, false },
		{ SLICE("[]"), false, false },         { SLICE("[192.0.2.1"), false, false },
		{ SLICE("[192.0.2.1\0> X]"), false, false }, { SLICE("[IPv6:::\0\"]"), false, false },
	};
	char label[80];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(address_valid_hostname(cases[i].text), cases[i].name);
		assert_int_equal(address_valid_literal(cases[i].text), cases[i].literal);
	}
	memset(label, 'a', sizeof(label));
	assert_true(address_valid_hostname(slice_make(label, 63)));
	assert_false(address_valid_hostname(slice_make(label, 64)));
}

static void test_extension(void **state)
{
	struct slice user, extension;

	assert_true(address_split_extension(SLICE("u+x+y"), "+-", &user, &extension));
	assert_true(slice_eq(user, SLICE("u")) && slice_eq(extension, SLICE("x+y")));
	assert_false(address_split_extension(SLICE("+x"), "+", &user, &extension));
	assert_false(address_split_extension(SLICE("owner-list"), "-", &user, &extension));
	assert_false(address_split_extension(SLICE("u+x"), "", &user, &extension));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_quote_round_trip),
		cmocka_unit_test(test_quote_keeps_a_path_whole),
		cmocka_unit_test(test_names_and_literals),
		cmocka_unit_test(test_extension),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
