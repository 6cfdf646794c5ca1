/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/limits.h"

static char path[] = "/tmp/limits_test.XXXXXX";

static enum auth_over count(struct limits *l, const char *user, unsigned messages, unsigned recipients, double now, bool *first)
{
	static const struct limits_rule rule = { .messages = 3, .recipients = 10, .unit = 60 };
	struct auth_counting c = { slice_of(user), messages, recipients };
	struct auth_verdict v;

	limits_count(l, &c, &rule, now, &v, first);
	if (v.over != AUTH_WITHIN) {
		assert_int_equal(v.limit, v.over == AUTH_OVER_MESSAGES ? 3 : 10);
		assert_in_range(v.seconds, 1, 61);
	}
	return v.over;
}

static struct limits *fresh(void)
{
	struct err err;
	struct limits *l;

	assert_int_equal(truncate(path, 0), 0);
	l = limits_open(path, &err);
	assert_non_null(l);
	return l;
}

static void test_window(void **state)
{
	struct limits *l = fresh();
	bool first;

	for (int i = 0; i < 3; i++)
		assert_int_equal(count(l, "bob", 1, 0, 1000 + i, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "BOB", 1, 0, 1003, &first), AUTH_OVER_MESSAGES);
	assert_true(first);
	assert_int_equal(count(l, "bob", 1, 0, 1004, &first), AUTH_OVER_MESSAGES);
	assert_false(first);
	assert_int_equal(count(l, "ann", 1, 0, 1004, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "bob", 0, 10, 1005, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "bob", 0, 1, 1006, &first), AUTH_OVER_RECIPIENTS);
	/* Over it again in the next unit: the postmaster knows. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(count(l, "bob", 1, 0, 1061, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "bob", 1, 0, 1062, &first), AUTH_OVER_MESSAGES);
	assert_false(first);
	/* A quiet unit, and it is news. */
	assert_int_equal(count(l, "bob", 0, 11, 1300, &first), AUTH_OVER_RECIPIENTS);
	assert_true(first);
	limits_close(&l);
}

static void test_told_is_forgotten_after_a_good_unit(void **state)
{
	struct limits *l = fresh();
	bool first;

	assert_int_equal(count(l, "bob", 4, 0, 1000, &first), AUTH_OVER_MESSAGES);
	assert_true(first);
	assert_int_equal(count(l, "bob", 1, 0, 1060, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "bob", 1, 0, 1120, &first), AUTH_WITHIN);
	assert_int_equal(count(l, "bob", 4, 0, 1121, &first), AUTH_OVER_MESSAGES);
	assert_true(first);
	limits_close(&l);
}

static void test_counts_outlive_the_process(void **state)
{
	struct limits *l = fresh();
	struct err err;
	bool first;

	assert_int_equal(count(l, "bob", 3, 0, 1000, &first), AUTH_WITHIN);
	limits_close(&l);
	l = limits_open(path, &err);
	assert_int_equal(count(l, "bob", 1, 0, 1001, &first), AUTH_OVER_MESSAGES);
	/* The clock goes back: nobody is shut out till it is there again. */
	assert_int_equal(count(l, "bob", 1, 0, 500, &first), AUTH_WITHIN);
	limits_close(&l);
}

static void test_foreign_file(void **state)
{
	struct limits *l = fresh();
	struct err err;
	bool first;
	int fd = open(path, O_WRONLY);
	char rubbish[4096];

	limits_close(&l);
	memset(rubbish, 0xff, sizeof(rubbish));
	assert_int_equal(write(fd, rubbish, sizeof(rubbish)), sizeof(rubbish));
	close(fd);
	l = limits_open(path, &err);
	assert_non_null(l);
	assert_int_equal(count(l, "bob", 3, 0, 1000, &first), AUTH_WITHIN);
	limits_close(&l);
	assert_null(limits_open("/nonexistent/limits", &err));
}

/* Many logins share the room; nobody's count is another's. */
static void test_crowd(void **state)
{
	struct limits *l = fresh();
	bool first;
	char name[32];

	for (int i = 0; i < 40000; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		assert_int_equal(count(l, name, 3, 0, 1000 + i * 0.0001, &first), AUTH_WITHIN);
		assert_int_equal(count(l, name, 1, 0, 1000 + i * 0.0001, &first), AUTH_OVER_MESSAGES);
	}
	limits_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window), cmocka_unit_test(test_told_is_forgotten_after_a_good_unit),
		cmocka_unit_test(test_counts_outlive_the_process), cmocka_unit_test(test_foreign_file),
		cmocka_unit_test(test_crowd),
	};
	int fd = mkstemp(path), failed;

	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
