/* SPDX-License-Identifier: ISC */
/* Records: their form, their age, and which takes the place of which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verify/record.h"
#include "verify/store.h"

static const struct record_rules rules = { 1000, 500, 100, 50, true };

static struct record make(enum verify_status status, double updated)
{
	static const char *const dsn[] = { "2.1.5", "5.1.1", "4.2.1" };
	struct record r = { .updated = updated };

	verify_set(&r.result, status, slice_of(dsn[status]), SLICE("said: a text"));
	return r;
}

static void test_form(void **state)
{
	struct record r = make(VERIFY_BAD, 123456), got;
	struct str text = { 0 };
	const char *const bad[] = { "", "1", "1 2", "1 2 5.1.1", "3 2 5.1.1 x", "0 2 5.1.1 x", "1 x 5.1.1 x", "1 2 5.1 x", "1 -2 5.1.1 x",
				    "1 2 5.1.1.1 x", "1 2 5.a.1 x", "99999999999999999999 2 5.1.1 x", "1 18446744073709551615 5.1.1 x" };

	record_format(&r, &text);
	assert_string_equal(str_cstr(&text), "1 123456 5.1.1 said: a text");
	assert_true(record_parse(str_slice(&text), &got));
	assert_int_equal(got.result.status, VERIFY_BAD);
	assert_string_equal(got.result.text, "said: a text");
	assert_true(got.updated == 123456);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(record_parse(slice_of(bad[i]), &got));
	str_free(&text);
}

static void test_age(void **state)
{
	struct record good = make(VERIFY_OK, 10000), bad = make(VERIFY_BAD, 10000), later = make(VERIFY_TEMPORARY, 10000);

	assert_int_equal(record_judge(&good, &rules, 10499), RECORD_GOOD);
	assert_int_equal(record_judge(&good, &rules, 10500), RECORD_STALE);
	assert_int_equal(record_judge(&good, &rules, 11000), RECORD_GONE);
	assert_int_equal(record_judge(&bad, &rules, 10049), RECORD_GOOD);
	assert_int_equal(record_judge(&later, &rules, 10050), RECORD_STALE);
	assert_int_equal(record_judge(&bad, &rules, 10100), RECORD_GONE);
	assert_int_equal(record_judge(&bad, &rules, 5000), RECORD_GOOD);
}

static void test_which_stays(void **state)
{
	const struct record_rules forgets = { 1000, 500, 100, 50, false };
	struct record good = make(VERIFY_OK, 10000), bad = make(VERIFY_BAD, 10100), late = make(VERIFY_BAD, 12000);

	assert_true(record_replaces(&bad, NULL, &rules));
	assert_false(record_replaces(&bad, &good, &rules));
	assert_true(record_replaces(&late, &good, &rules));
	assert_true(record_replaces(&good, &bad, &rules));
	assert_true(record_replaces(&late, &bad, &rules));
	assert_false(record_replaces(&bad, NULL, &forgets));
	assert_true(record_replaces(&good, NULL, &forgets));
}

#ifdef HAVE_LMDB
static bool keep_b(struct slice key, struct slice value, void *context)
{
	return slice_eq(key, SLICE("b"));
}

static void test_store(void **state)
{
	char dir[] = "/tmp/postrider-verify-XXXXXX", map[64], command[64];
	struct arena *arena = arena_create(0);
	struct slice value;
	struct store *s;
	struct err err;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(map, sizeof(map), "btree:%s/cache", dir);
	s = store_open(map, dir, &err);
	assert_non_null(s);
	store_put(s, SLICE("a"), SLICE("1"));
	store_put(s, SLICE("b"), SLICE("2"));
	store_put(s, SLICE("a"), SLICE("3"));
	assert_true(store_get(s, SLICE("a"), arena, &value));
	assert_true(slice_eq(value, SLICE("3")));
	assert_false(store_get(s, SLICE("c"), arena, &value));
	assert_false(store_get(s, SLICE(""), arena, &value));
	store_close(&s);
	s = store_open(map, dir, &err);
	assert_non_null(s);
	assert_int_equal(store_clean(s, keep_b, NULL), 1);
	assert_false(store_get(s, SLICE("a"), arena, &value));
	assert_true(store_get(s, SLICE("b"), arena, &value));
	store_close(&s);
	/* Damaged: it begins anew. */
	(void)snprintf(map, sizeof(map), "%s/cache.lmdb", dir);
	f = fopen(map, "w");
	assert_non_null(f);
	for (int i = 0; i < 10000; i++)
		fputs("no database", f);
	fclose(f);
	(void)snprintf(map, sizeof(map), "btree:%s/cache", dir);
	s = store_open(map, dir, &err);
	assert_non_null(s);
	assert_false(store_get(s, SLICE("b"), arena, &value));
	store_close(&s);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	arena_free(&arena);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form), cmocka_unit_test(test_age), cmocka_unit_test(test_which_stays),
#ifdef HAVE_LMDB
		cmocka_unit_test(test_store),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
