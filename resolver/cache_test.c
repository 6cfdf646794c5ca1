/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "resolver/cache.h"

static const struct dns_answer *found;

static void put(struct cache *c, const char *name, enum dns_type type, const char *data, double ttl, double now)
{
	struct dns_record r = { .type = type, .data = slice_of(data) };
	struct dns_answer a = { .status = DNS_OK, .canonical = slice_of(name), .records = &r, .count = 1 };

	cache_put(c, slice_of(name), type, &a, ttl, now);
}

static void test_find(void **state)
{
	struct cache *c = cache_create(1 << 20, 100);
	char name[] = "a.test", data[] = "1234";

	put(c, name, DNS_A, data, 10, 1000);
	name[0] = data[0] = 'X'; /* it keeps a copy */
	assert_int_equal(cache_find(c, SLICE("A.TEST"), DNS_A, 1001, &found), CACHE_HIT);
	assert_true(slice_eq(found->records[0].data, SLICE("1234")));
	assert_true(slice_eq(found->canonical, SLICE("a.test")));
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_AAAA, 1001, &found), CACHE_MISS);
	assert_int_equal(cache_find(c, SLICE("b.test"), DNS_A, 1001, &found), CACHE_MISS);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 1010, &found), CACHE_STALE);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 1109.9, &found), CACHE_STALE);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 1110, &found), CACHE_MISS);
	assert_int_equal(cache_count(c), 0);
	assert_int_equal(cache_bytes(c), 0);
	cache_free(&c);
	assert_null(c);
}

static void test_replace(void **state)
{
	struct cache *c = cache_create(1 << 20, 100);
	size_t bytes;

	put(c, "a.test", DNS_A, "1234", 10, 0);
	bytes = cache_bytes(c);
	for (int i = 0; i < 100; i++)
		put(c, "A.test", DNS_A, "5678", 10, i);
	assert_int_equal(cache_count(c), 1);
	assert_int_equal(cache_bytes(c), bytes);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 100, &found), CACHE_HIT);
	assert_true(slice_eq(found->records[0].data, SLICE("5678")));
	/* One that is made of what it replaces, as a stale answer served again. */
	cache_put(c, SLICE("a.test"), DNS_A, found, 10, 100);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 101, &found), CACHE_HIT);
	assert_true(slice_eq(found->records[0].data, SLICE("5678")));
	cache_free(&c);
}

/* Asked for again shortly before its end: once, and only what was asked for more than once. */
static void test_refresh(void **state)
{
	struct cache *c = cache_create(1 << 20, 0);

	put(c, "a.test", DNS_A, "1234", 100, 0);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 95, &found), CACHE_HIT);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 95, &found), CACHE_REFRESH);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 96, &found), CACHE_HIT);
	put(c, "a.test", DNS_A, "1234", 100, 97);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 98, &found), CACHE_HIT);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 99, &found), CACHE_HIT);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 197, &found), CACHE_MISS);
	cache_free(&c);
}

/* Within its bytes, whatever comes; what is used stays. */
static void test_limit(void **state)
{
	struct cache *c = cache_create(100000, 100);
	char name[32];

	put(c, "used.test", DNS_A, "1234", 1000, 0);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		put(c, name, DNS_TXT, "a text that is a little longer than others", 1000, 1);
		assert_true(cache_bytes(c) <= 100000);
		assert_int_equal(cache_find(c, SLICE("used.test"), DNS_A, 1, &found), CACHE_HIT);
	}
	assert_in_range(cache_count(c), 10, 400);
	assert_int_equal(cache_find(c, slice_of(name), DNS_TXT, 1, &found), CACHE_HIT);
	assert_int_equal(cache_find(c, SLICE("n0.test"), DNS_TXT, 1, &found), CACHE_MISS);
	cache_free(&c);
	/* One that is larger than all is kept till the next. */
	c = cache_create(10, 100);
	put(c, "a.test", DNS_A, "1234", 1000, 0);
	assert_int_equal(cache_find(c, SLICE("a.test"), DNS_A, 1, &found), CACHE_HIT);
	put(c, "b.test", DNS_A, "1234", 1000, 0);
	assert_int_equal(cache_count(c), 1);
	cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
