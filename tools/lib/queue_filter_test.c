/* SPDX-License-Identifier: ISC */
/* Expressions, and what they match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/lib/queue_filter.h"

static const struct queue_recipient recipients[] = {
	{ "one@gmail.com", "host mx.gmail.com said: 421 4.7.0 try again", 3 }, { "two@Example.test", "", 0 },
};
static const struct queue_entry entry = {
	.id = "4abcz1", .queue = "deferred", .from = "Sender@here.test", .client = "client.test[192.0.2.1]", .login = "user",
	.arrival = 10000, .size = 5000, .next = 20600, .recipients = recipients, .recipient_count = 2,
};

static void test_matches(void **state)
{
	static const struct {
		const char *text;
		bool expected;
	} rows[] = {
		{ "to~@gmail.com", true }, { "to=two@example.test", true }, { "to~yahoo", false }, { "domain=GMAIL.com", true },
		{ "to!~gmail", false }, { "to!=three@x", true }, { "domain!=example.test", false }, { "reason~4\\.7", true },
		{ "reason=\"\"", true }, { "from=sender@here.test", true }, { "from~'^sender@'", true }, { "id=4ABCZ1", true },
		{ "queue=hold", false }, { "login=user and client~192\\.0", true }, { "size>4k", true }, { "size>=5000", true },
		{ "size<5000", false }, { "size<=1M", true }, { "age>2h", true }, { "age<3h", true }, { "age>1d", false }, { "next<=10m", true },
		{ "next>11m", false }, { "attempts=3", true }, { "attempts!=3", false }, { "recipients>1", true },
		{ "to~yahoo or to~gmail", true }, { "to~yahoo or to~gmail and age>1d", false }, { "(to~yahoo or to~gmail) and age<1d", true },
		{ "not to~gmail", false }, { "! queue=hold", true }, { "NOT (queue=hold OR age>1d)", true },
		{ "to~gmail&&size>1k||queue=hold", true }, { "  age  >  2h  ", true }, { "reason ~ \"said: 421\"", true },
	};
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct queue_filter *f = queue_filter_parse(rows[i].text, &err);

		if (!f)
			fail_msg("%s: %s", rows[i].text, err.text);
		if (queue_filter_matches(f, &entry, 20000) != rows[i].expected)
			fail_msg("%s", rows[i].text);
		queue_filter_free(&f);
		assert_null(f);
	}
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "", "column 1: expected a field" }, { "colour=red", "column 1: expected a field" }, { "to", "column 3: expected one of" },
		{ "to=", "column 4: expected a value" }, { "to=a to=b", "column 6: expected and, or" }, { "(to=a", "column 6: expected )" },
		{ "to>a", "column 5: this field is a text" }, { "size~1", "column 7: this field is a number" },
		{ "age>yesterday", "expected a time" }, { "size>2h", "expected a size" }, { "size>1.2.3k5", "expected a size" },
		{ "attempts>many", "expected a number" }, { "to~[", "column 5: " }, { "to=\"a", "column 5: expected a value" },
		{ "to=a and", "column 9: expected a field" }, { "not", "column 4: expected a field" }, { "to=a)", "column 5: expected and" },
	};
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct queue_filter *f = queue_filter_parse(rows[i].text, &err);

		if (f || !strstr(err.text, rows[i].expected))
			fail_msg("%s: %s", rows[i].text, f ? "taken" : err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_matches), cmocka_unit_test(test_mistakes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
