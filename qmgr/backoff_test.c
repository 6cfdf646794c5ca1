/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "qmgr/backoff.h"
#include "qmgr/limits.h"

static void test_reasons(void **state)
{
	static const struct {
		const char *dsn, *reply;
		enum backoff_reason reason;
		double hint;
	} cases[] = {
		{ "4.4.1", "", BACKOFF_PLAIN, 0 },
		{ "4.4.1", "421 4.4.1 Connection refused", BACKOFF_PLAIN, 0 },
		{ "4.2.0", "450 4.2.0 <a@x>: Recipient address rejected: Greylisted, try in 300 seconds", BACKOFF_GREYLISTED, 300 },
		{ "4.7.1", "451 4.7.1 Greylisting in action, please come back in 5 minutes.", BACKOFF_GREYLISTED, 300 },
		{ "4.7.1", "451 graylisted, 999999 seconds", BACKOFF_GREYLISTED, 0 },
		{ "4.7.28", "421-4.7.28 Our system has detected an unusual rate of mail", BACKOFF_RATE_LIMITED, 0 },
		{ "4.7.0", "421 4.7.0 Too many messages, wait 10 minutes", BACKOFF_RATE_LIMITED, 600 },
		{ "4.5.3", "452 4.5.3 Too many recipients", BACKOFF_PLAIN, 0 },
		{ "4.3.0", "451 4.3.0 rate limit exceeded", BACKOFF_RATE_LIMITED, 0 },
		{ "4.3.0", "451 4.3.0 database is away", BACKOFF_PLAIN, 0 },
	};
	double hint;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(backoff_reason_of(slice_of(cases[i].dsn), slice_of(cases[i].reply), &hint), cases[i].reason);
		assert_true(hint == cases[i].hint);
	}
}

static void test_pauses(void **state)
{
	const struct backoff_settings s = { 300, 4000 };

	assert_true(backoff_pause(&s, BACKOFF_PLAIN, 0, 10) == 300);
	assert_true(backoff_pause(&s, BACKOFF_PLAIN, 0, 1000) == 1000);
	assert_true(backoff_pause(&s, BACKOFF_PLAIN, 0, 1e6) == 4000);
	assert_true(backoff_pause(&s, BACKOFF_GREYLISTED, 0, 1000) == 300);
	assert_true(backoff_pause(&s, BACKOFF_GREYLISTED, 60, 10) == 61);
	assert_true(backoff_pause(&s, BACKOFF_GREYLISTED, 60, 5000) == 4000);
	assert_true(backoff_pause(&s, BACKOFF_RATE_LIMITED, 0, 10) == 600);
	assert_true(backoff_pause(&s, BACKOFF_RATE_LIMITED, 0, 3000) == 4000);
	assert_true(backoff_pause(&s, BACKOFF_RATE_LIMITED, 900, 10) == 901);
}

static void test_rates(void **state)
{
	static const char *const bad[] = { "", "100", "/1h", "100/", "x/1h", "100/0s", "-1/1h", "100/1h/2" };
	double period;
	long messages;

	assert_true(limits_parse_rate(SLICE("100/1h"), &messages, &period) && messages == 100 && period == 3600);
	assert_true(limits_parse_rate(SLICE("5 / 30s"), &messages, &period) && messages == 5 && period == 30);
	assert_true(limits_parse_rate(SLICE("7/d"), &messages, &period) && messages == 7 && period == 86400);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(limits_parse_rate(slice_of(bad[i]), &messages, &period));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reasons), cmocka_unit_test(test_pauses),
					    cmocka_unit_test(test_rates) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
