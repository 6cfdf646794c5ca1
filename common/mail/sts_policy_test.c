/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "common/mail/sts_policy.h"

static void test_records(void **state)
{
	static const struct {
		const char *txt, *id;   /* NULL: malformed */
	} cases[] = {
		{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" }, { "v=STSv1;id=1", "1" }, { "v=STSv1; x=y; id=a ;", "a" },
		{ "v=STSv1;", NULL }, { "v=STSv2; id=1;", NULL }, { "id=1; v=STSv1", NULL }, { "v=STSv1; id=a-b;", NULL },
		{ "v=STSv1; id=;", NULL }, { "v=STSv1; id=123456789012345678901234567890123;", NULL }, { "", NULL },
		{ "v=STSv1; id=1; id=2;", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice id = SLICE_NONE;

		if (sts_record_parse(slice_of(cases[i].txt), &id) != (cases[i].id != NULL) ||
		    (cases[i].id && !slice_eq(id, slice_of(cases[i].id))))
			fail_msg("%s", cases[i].txt);
	}
}

static void test_policies(void **state)
{
	static const struct {
		const char *text;
		int mode;               /* −1: malformed */
		size_t mx;
		uint64_t age;
	} cases[] = {
		{ "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n", STS_ENFORCE, 2, 604800 },
		{ "version: STSv1\nmode:testing\nmax_age: 1\nmx:a.b", STS_TESTING, 1, 1 },
		{ "version: STSv1\nmode: none\nmax_age: 9999999999", STS_NONE, 0, STS_AGE_MAX },
		{ "version: STSv1\nmode: enforce\nmode: none\nmax_age: 5\nmax_age: x\nnew: field\n\nmx: a.b\n", STS_ENFORCE, 1, 5 },
		{ "version: STSv1\nmode: enforce\nmax_age: 5\n", -1, 0, 0 },
		{ "version: STSv2\nmode: none\nmax_age: 5\n", -1, 0, 0 },
		{ "mode: none\nmax_age: 5\n", -1, 0, 0 },
		{ "version: STSv1\nmode: Enforce\nmax_age: 5\nmx: a.b\n", -1, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmax_age: -5\nmx: a.b\n", -1, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmax_age: 5\nmx: a.*.b\n", -1, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmax_age: 5\nmx: a b\n", -1, 0, 0 },
		{ "<html>\n", -1, 0, 0 },
		{ "", -1, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sts_policy p;
		struct err err = { 0 };
		bool ok = sts_policy_parse(slice_of(cases[i].text), &p, &err);

		if (ok != (cases[i].mode >= 0) || (ok && ((int)p.mode != cases[i].mode || p.mx_count != cases[i].mx || p.max_age != cases[i].age)))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
}

static void test_patterns(void **state)
{
	assert_true(sts_pattern_has(SLICE("mail.example.com"), SLICE("MAIL.example.com")));
	assert_true(sts_pattern_has(SLICE("*.example.com"), SLICE("mail.example.com")));
	assert_false(sts_pattern_has(SLICE("*.example.com"), SLICE("a.mail.example.com")));
	assert_false(sts_pattern_has(SLICE("*.example.com"), SLICE("example.com")));
	assert_false(sts_pattern_has(SLICE("*.example.com"), SLICE(".example.com")));
	assert_false(sts_pattern_has(SLICE("mail.example.com"), SLICE("mail.example.org")));
	assert_false(sts_pattern_has(SLICE("mail.example.com"), SLICE("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_records), cmocka_unit_test(test_policies),
					    cmocka_unit_test(test_patterns) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
