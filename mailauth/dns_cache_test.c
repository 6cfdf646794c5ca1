/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "mailauth/dns_cache.h"

static void keep(const char *name, uint32_t ttl, const char *data, double now)
{
	struct dns_record r = { .type = DNS_TXT, .ttl = ttl, .data = slice_of(data) };
	struct dns_answer a = { .status = DNS_OK, .records = &r, .count = 1 };

	dns_cache_keep(slice_of(name), DNS_TXT, now, &a);
}

static void test_ages(void **state)
{
	struct arena *arena = arena_create(0);
	struct dns_answer a;

	keep("a.test", 30, "one", 1000);
	assert_true(dns_cache_find(SLICE("A.Test"), DNS_TXT, 1029, arena, &a));
	assert_true(slice_eq(a.records[0].data, SLICE("one")));
	assert_false(dns_cache_find(SLICE("a.test"), DNS_MX, 1001, arena, &a));
	assert_false(dns_cache_find(SLICE("b.test"), DNS_TXT, 1001, arena, &a));
	assert_false(dns_cache_find(SLICE("a.test"), DNS_TXT, 1030, arena, &a));
	assert_false(dns_cache_find(SLICE("a.test"), DNS_TXT, 900, arena, &a));
	keep("a.test", 100000, "two", 2000);
	assert_true(dns_cache_find(SLICE("a.test"), DNS_TXT, 2059, arena, &a));
	assert_false(dns_cache_find(SLICE("a.test"), DNS_TXT, 2061, arena, &a));
	keep("a.test", 0, "three", 3000);
	assert_false(dns_cache_find(SLICE("a.test"), DNS_TXT, 3000, arena, &a));
	dns_cache_clear();
	arena_free(&arena);
}

/* Failures and stale answers are asked for again; the memory is bounded whatever is kept. */
static void test_what_is_not_kept(void **state)
{
	struct arena *arena = arena_create(0);
	struct dns_answer a = { .status = DNS_NXDOMAIN };
	char name[32];

	dns_cache_keep(SLICE("x.test"), DNS_TXT, 1000, &a);
	assert_false(dns_cache_find(SLICE("x.test"), DNS_TXT, 1000, arena, &a));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		keep(name, 60, "text", 1000);
		assert_true(dns_cache_find(slice_of(name), DNS_TXT, 1000, arena, &a));
	}
	dns_cache_clear();
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ages), cmocka_unit_test(test_what_is_not_kept) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
