/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tlsrpt/tally.h"

static struct tlsrpt_event event(enum tlsrpt_policy policy, enum tlsrpt_result result, const char *reason)
{
	struct tlsrpt_event e = { .domain = SLICE("Example.com"), .policy = policy, .host = SLICE("mx.example.com"),
				  .address = SLICE("192.0.2.1"), .result = result, .reason = slice_of(reason) };

	if (policy == TLSRPT_STS) {
		e.strings[e.string_count++] = SLICE("version: STSv1");
		e.mx[e.mx_count++] = SLICE("mx.example.com");
	}
	return e;
}

static void report(const struct tally *t, const char *name, struct str *out)
{
	const struct tally_reporter r = { "Us", "postmaster@us.test", "id-1", 86400 };

	str_clear(out);
	tally_report(t, name, &r, out);
}

static void test_report(void **state)
{
	struct tally *t = tally_create(SLICE_NONE, 0), *again;
	struct tlsrpt_event list[] = { event(TLSRPT_STS, TLSRPT_SUCCESS, ""), event(TLSRPT_STS, TLSRPT_SUCCESS, ""),
				       event(TLSRPT_STS, TLSRPT_HOST_MISMATCH, "not \"verified\" it"),
				       event(TLSRPT_NO_POLICY, TLSRPT_NOT_SUPPORTED, "") };
	struct str out = { 0 }, saved = { 0 };
	const char *name;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		tally_add(t, &list[i]);
	assert_true(tally_first(t, &name));
	assert_string_equal(name, "example.com");
	report(t, name, &out);
	assert_string_equal(
		str_cstr(&out),
		"{\"organization-name\":\"Us\",\"date-range\":{\"start-datetime\":\"1970-01-01T00:00:00Z\",\"end-datetime\":"
		"\"1970-01-02T00:00:00Z\"},\"contact-info\":\"postmaster@us.test\",\"report-id\":\"id-1\",\"policies\":["
		"{\"policy\":{\"policy-type\":\"sts\",\"policy-domain\":\"example.com\",\"policy-string\":[\"version: STSv1\"],"
		"\"mx-host\":[\"mx.example.com\"]},\"summary\":{\"total-successful-session-count\":2,"
		"\"total-failure-session-count\":1},\"failure-details\":[{\"result-type\":\"certificate-host-mismatch\","
		"\"receiving-mx-hostname\":\"mx.example.com\",\"receiving-ip\":\"192.0.2.1\",\"failed-session-count\":1,"
		"\"failure-reason-code\":\"not \\\"verified\\\" it\"}]},"
		"{\"policy\":{\"policy-type\":\"no-policy-found\",\"policy-domain\":\"example.com\"},\"summary\":"
		"{\"total-successful-session-count\":0,\"total-failure-session-count\":1},\"failure-details\":"
		"[{\"result-type\":\"starttls-not-supported\",\"receiving-mx-hostname\":\"mx.example.com\",\"receiving-ip\":"
		"\"192.0.2.1\",\"failed-session-count\":1}]}]}");
	/* What was saved goes on. */
	tally_save(t, &saved);
	again = tally_create(str_slice(&saved), 100);
	tally_add(again, &list[0]);
	report(again, "example.com", &out);
	assert_non_null(strstr(str_cstr(&out), "\"total-successful-session-count\":3"));
	assert_true(tally_start(again) == 0);
	tally_free(&again);
	tally_remove(t, name);
	assert_false(tally_first(t, &name));
	tally_free(&t);
	str_free(&out);
	str_free(&saved);
}

static void test_damaged(void **state)
{
	static const char *const saved[] = { "", "x", "[]", "{}", "{\"start\":5,\"domains\":[]}", "{\"start\":\"a\",\"domains\":{}}",
					     "{\"start\":500,\"domains\":{}}" };
	struct str out = { 0 };
	const char *name;

	for (size_t i = 0; i < sizeof(saved) / sizeof(saved[0]); i++) {
		struct tally *t = tally_create(slice_of(saved[i]), 100);

		assert_true(tally_start(t) == 100 && !tally_first(t, &name));
		tally_free(&t);
	}
	/* Other things than ours inside are no harm. */
	struct tally *t = tally_create(SLICE("{\"start\":5,\"domains\":{\"a\":7,\"b\":{\"sts\":[],\"x\":{\"failures\":{\"\":1}}}}}"), 100);

	while (tally_first(t, &name)) {
		report(t, name, &out);
		tally_remove(t, name);
	}
	tally_free(&t);
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_report), cmocka_unit_test(test_damaged) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
