/* SPDX-License-Identifier: ISC */
/* Tables made of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tables/table.h"

static void expect(const char *spec, const char *key, enum table_result result, const char *value)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	struct slice got;
	struct table *table = table_open(spec, &err);

	if (!table)
		fail_msg("%s", err.text);
	assert_int_equal(table_lookup(table, slice_of(key), arena, &got, &err), result);
	if (value)
		assert_string_equal(arena_cstr(arena, got), value);
	table_close(&table);
	arena_free(&arena);
}

static void expect_refused(const char *spec)
{
	struct err err = { 0 };

	assert_null(table_open(spec, &err));
	assert_non_null(strstr(err.text, spec));
}

static void a_union_has_what_each_has(void **state)
{
	expect("unionmap:{inline:{a=1},static:2, inline:{a=3}}", "A", TABLE_FOUND, "1,2,3");
	expect("unionmap:{inline:{a=1},inline:{b=2}}", "b", TABLE_FOUND, "2");
	expect("unionmap:{inline:{a=1},inline:{b=2}}", "c", TABLE_NOT_FOUND, NULL);
	/* A part that is missing would be a wrong answer. */
	expect("unionmap:{inline:{a=1},fail:x}", "a", TABLE_ERROR, NULL);
	expect("unionmap:{fail:x,inline:{a=1}}", "a", TABLE_ERROR, NULL);
	expect("unionmap:{hash:/nonexistent/x,static:1}", "a", TABLE_ERROR, NULL);
	expect("unionmap:{unionmap:{static:1,static:2},static:3}", "a", TABLE_FOUND, "1,2,3");
}

static void a_pipe_asks_for_what_was_answered(void **state)
{
	expect("pipemap:{inline:{a=b},inline:{b=c},inline:{c=d}}", "a", TABLE_FOUND, "d");
	expect("pipemap:{inline:{a=b},inline:{x=c}}", "a", TABLE_NOT_FOUND, NULL);
	expect("pipemap:{inline:{a=b},fail:x}", "a", TABLE_ERROR, NULL);
	expect("pipemap:{inline:{a=b},fail:x}", "z", TABLE_NOT_FOUND, NULL);
}

static void what_is_malformed_is_refused(void **state)
{
	expect_refused("unionmap:");
	expect_refused("unionmap:{}");
	expect_refused("unionmap:static:x");
	expect_refused("unionmap:{nosuch:x}");
	expect_refused("pipemap:{x}");
	expect_refused("randmap:a");
	expect_refused("randmap:{ , }");
}

static void patterns_in_it_make_it_a_table_of_patterns(void **state)
{
	struct err err = { 0 };
	struct arena *arena = arena_create(0);
	struct table_list *list = table_list_open("unionmap:{inline:{x=1},regexp:/dev/null/none}", &err);
	struct table_question question = { .key = SLICE("x"), .partial = true };

	assert_int_equal(table_list_ask(list, &question, arena, &err), TABLE_NOT_FOUND);
	table_list_close(&list);
	list = table_list_open("unionmap:{inline:{x=1}}", &err);
	assert_int_equal(table_list_ask(list, &question, arena, &err), TABLE_FOUND);
	table_list_close(&list);
	arena_free(&arena);
}

static void others_answer(void **state)
{
	setenv("tables_test", "value", 1);
	expect("environ:x", "TABLES_test", TABLE_FOUND, "value");
	expect("environ:x", "tables_test_none", TABLE_NOT_FOUND, NULL);
	expect("randmap:{only}", "x", TABLE_FOUND, "only");
	expect("randmap:{same, same}", "x", TABLE_FOUND, "same");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_union_has_what_each_has),
		cmocka_unit_test(a_pipe_asks_for_what_was_answered),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(patterns_in_it_make_it_a_table_of_patterns),
		cmocka_unit_test(others_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
