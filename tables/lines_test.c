/* SPDX-License-Identifier: ISC */
/* Logical lines and their keys; what replacement texts come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tables/lines.h"
#include "tables/replacement.h"

static void expect_lines(const char *text, const char *const *lines, const int *numbers)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct line_reader readers[] = { line_reader_of_text(slice_of(text)), line_reader_of_file(file) };
	struct slice line;

	for (int n = 0; n < 2; n++) {
		for (size_t i = 0; lines[i]; i++) {
			assert_true(line_reader_next(&readers[n], &line));
			assert_true(slice_eq(line, slice_of(lines[i])));
			assert_int_equal(readers[n].line, numbers[i]);
		}
		assert_false(line_reader_next(&readers[n], &line));
		assert_false(readers[n].failed);
		line_reader_end(&readers[n]);
	}
	fclose(file);
}

static void lines_go_on(void **state)
{
	expect_lines("# c\na 1\n  2\n\n # c\n\t3  \nb\n\n \nc",
		     (const char *const[]){ "a 1  2\t3", "b", "c", NULL }, (const int[]){ 2, 7, 10 });
	expect_lines("  x\n y\n", (const char *const[]){ "  x y", NULL }, (const int[]){ 1 });
	expect_lines("\n#\n", (const char *const[]){ NULL }, NULL);
	expect_lines("a\r\nb\r\n", (const char *const[]){ "a", "b", NULL }, (const int[]){ 1, 2 });
}

static void expect_key(const char *line, const char *key, const char *value)
{
	struct slice rest = slice_of(line), got;

	assert_int_equal(line_take_key(&rest, &got), key != NULL);
	if (!key)
		return;
	assert_true(slice_eq(got, slice_of(key)));
	assert_true(slice_eq(rest, slice_of(value)));
}

static void keys_may_be_quoted(void **state)
{
	expect_key("a b c", "a", "b c");
	expect_key("\"a b\"@c \t d ", "\"a b\"@c", "d");
	expect_key("\"a\\\" b\" c", "\"a\\\" b\"", "c");
	expect_key("a\\ b c", "a\\ b", "c");
	expect_key("a", "a", "");
	expect_key("\"a b", NULL, NULL);
	expect_key("a\\", "a\\", "");
}

static void expect_text(const char *template, const char *text)
{
	static const struct slice groups[] = { { "one", 3 }, { "two", 3 }, { NULL, 0 } };
	struct arena *arena = arena_create(0);
	struct replacement r;
	struct slice got;
	struct err err;

	assert_int_equal(replacement_parse(slice_of(template), arena, &r, &err), text != NULL);
	if (text) {
		assert_true(replacement_expand(&r, groups, arena, &got, &err));
		assert_true(slice_eq(got, slice_of(text)));
	} else {
		assert_int_equal(err.code, ERR_SYNTAX);
	}
	arena_free(&arena);
}

static void numbers_are_replaced(void **state)
{
	expect_text("", "");
	expect_text("plain", "plain");
	expect_text("$1", "one");
	expect_text("<${2}$(1)$$$3>", "<twoone$>");
	expect_text("$1x", NULL);
	expect_text("$1-x", "one-x");
	expect_text("$", NULL);
	expect_text("a$ b", NULL);
	expect_text("${1", NULL);
	expect_text("${}", NULL);
	expect_text("$0", NULL);
	expect_text("$100", NULL);
	expect_text("$a", NULL);
}

static void a_result_has_a_limit(void **state)
{
	struct arena *arena = arena_create(0);
	char *large = malloc(REPLACEMENT_MAX);
	struct slice group = slice_make(large, REPLACEMENT_MAX), got;
	struct replacement r;
	struct err err;

	memset(large, 'x', REPLACEMENT_MAX);
	assert_true(replacement_parse(SLICE("$1"), arena, &r, &err));
	assert_true(replacement_expand(&r, &group, arena, &got, &err));
	assert_true(replacement_parse(SLICE("$1$1"), arena, &r, &err));
	assert_false(replacement_expand(&r, &group, arena, &got, &err));
	assert_int_equal(err.code, ERR_LIMIT);
	free(large);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_go_on),
		cmocka_unit_test(keys_may_be_quoted),
		cmocka_unit_test(numbers_are_replaced),
		cmocka_unit_test(a_result_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
