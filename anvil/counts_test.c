/* SPDX-License-Identifier: ISC */
/* Sessions and rates of clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "anvil/counts.h"
#include "common/base/str.h"

static const int one, other; /* smtpd processes */

static struct anvil_counts add(struct counts *c, const char *client, enum anvil_event event, const void *owner, double now)
{
	struct anvil_who who = { SLICE("smtp"), slice_of(client) };
	struct anvil_counts result;

	counts_add(c, &who, event, owner, now, &result);
	return result;
}

static void leave(struct counts *c, const char *client, const void *owner)
{
	struct anvil_who who = { SLICE("smtp"), slice_of(client) };

	counts_leave(c, &who, owner);
}

static void test_sessions(void **state)
{
	struct counts *c = counts_create(60);

	assert_int_equal(add(c, "192.0.2.1", ANVIL_CONNECT, &one, 0).connections, 1);
	assert_int_equal(add(c, "192.0.2.1", ANVIL_CONNECT, &other, 1).connections, 2);
	assert_int_equal(add(c, "192.0.2.2", ANVIL_CONNECT, &one, 1).connections, 1);
	leave(c, "192.0.2.1", &one);
	assert_int_equal(add(c, "192.0.2.1", ANVIL_CONNECT, &one, 2).connections, 2);
	/* More often than it came, or unknown: of no effect. */
	leave(c, "192.0.2.1", &one);
	leave(c, "192.0.2.1", &one);
	leave(c, "192.0.2.1", &one);
	leave(c, "192.0.2.9", &one);
	assert_int_equal(add(c, "192.0.2.1", ANVIL_MESSAGE, &one, 3).connections, 1);
	/* A process is gone with all that it had. */
	(void)add(c, "192.0.2.1", ANVIL_CONNECT, &one, 3);
	(void)add(c, "192.0.2.1", ANVIL_CONNECT, &one, 3);
	counts_leave_all(c, &one);
	assert_int_equal(add(c, "192.0.2.1", ANVIL_MESSAGE, &one, 4).connections, 1);
	assert_int_equal(add(c, "192.0.2.2", ANVIL_MESSAGE, &one, 4).connections, 0);
	counts_free(&c);
	assert_null(c);
}

static void test_services_are_apart(void **state)
{
	struct counts *c = counts_create(60);
	struct anvil_who who = { SLICE("submission"), SLICE("192.0.2.1") };
	struct anvil_counts result;

	(void)add(c, "192.0.2.1", ANVIL_CONNECT, &one, 0);
	counts_add(c, &who, ANVIL_CONNECT, &one, 0, &result);
	assert_int_equal(result.connections, 1);
	counts_free(&c);
}

static void test_rates(void **state)
{
	struct counts *c = counts_create(60);

	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(add(c, "a", ANVIL_MESSAGE, &one, 100 + i).rate, i);
	assert_int_equal(add(c, "a", ANVIL_RECIPIENT, &one, 106).rate, 1);
	/* The unit began with the first event. */
	assert_int_equal(add(c, "a", ANVIL_MESSAGE, &one, 160.9).rate, 6);
	assert_int_equal(add(c, "a", ANVIL_MESSAGE, &one, 161).rate, 1);
	assert_int_equal(add(c, "a", ANVIL_RECIPIENT, &one, 161).rate, 2);
	counts_free(&c);
}

static void test_sweep(void **state)
{
	struct counts *c = counts_create(60);
	char client[32];

	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(client, sizeof(client), "10.0.%u.%u", i / 256, i % 256);
		(void)add(c, client, ANVIL_MESSAGE, &one, 0);
	}
	(void)add(c, "stays", ANVIL_CONNECT, &one, 0);
	counts_sweep(c, 59);
	assert_int_equal(counts_clients(c), 3001);
	counts_sweep(c, 60);
	assert_int_equal(counts_clients(c), 1);
	assert_int_equal(add(c, "stays", ANVIL_CONNECT, &one, 61).connections, 2);
	counts_free(&c);
}

static void keep(const char *text, void *context)
{
	str_printf(context, "%s\n", text);
}

static void test_statistics(void **state)
{
	struct counts *c = counts_create(60);
	struct str lines = { 0 };

	(void)add(c, "192.0.2.1", ANVIL_CONNECT, &one, 0);
	(void)add(c, "192.0.2.1", ANVIL_CONNECT, &one, 0);
	counts_statistics(c, keep, &lines);
	assert_non_null(strstr(str_cstr(&lines), "max connection rate 2/60s for (smtp:192.0.2.1) at "));
	assert_non_null(strstr(str_cstr(&lines), "max connection count 2 for (smtp:192.0.2.1) at "));
	assert_non_null(strstr(str_cstr(&lines), "max cache size 1 at "));
	assert_null(strstr(str_cstr(&lines), "message"));
	str_clear(&lines);
	counts_statistics(c, keep, &lines);
	assert_int_equal(lines.len, 0);
	str_free(&lines);
	counts_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sessions), cmocka_unit_test(test_services_are_apart),
					    cmocka_unit_test(test_rates), cmocka_unit_test(test_sweep),
					    cmocka_unit_test(test_statistics) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
