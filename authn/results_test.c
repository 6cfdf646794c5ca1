/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "authn/results.h"

#define ID "mx.example.com"

static struct header_field field(const char *text)
{
	struct slice block = slice_of(text);
	struct header_field f;

	assert_true(header_next(&block, &f));
	return f;
}

static void test_claims(void **state)
{
	static const struct {
		const char *text;
		bool ours;
	} cases[] = {
	    {"Authentication-Results: mx.example.com; spf=pass\r\n", true},
	    {"authentication-results : MX.Example.COM; spf=pass\r\n", true},
	    {"Authentication-Results:mx.example.com 1; spf=pass\r\n", true},
	    {"Authentication-Results: (x) mx.example.com (y); spf=pass\r\n", true},
	    {"Authentication-Results: (a (b) c)\r\n\tmx.example.com; none\r\n", true},
	    {"Authentication-Results: \"mx.example.com\"; spf=pass\r\n", true},
	    {"Authentication-Results: \"mx\\.example.com\"; spf=pass\r\n", true},
	    {"Authentication-Results: mx.example.com\r\n", true},
	    {"Authentication-Results: (never ends; spf=pass\r\n", true},
	    {"Authentication-Results: \r\n", true},
	    {"Authentication-Results: ; spf=pass\r\n", true},
	    {"Authentication-Results: other.example.org mx.example.com; spf=pass\r\n", true},
	    {"Authentication-Results: other.example.org mx.example.com\r\n", true},
	    {"Authentication-Results: other.example.org; spf=pass\r\n", false},
	    {"Authentication-Results: other.example.org; spf=pass reason=mx.example.com\r\n",
	     false},
	    {"X-Authentication-Results: mx.example.com; spf=pass\r\n", false},
	    {"ARC-Authentication-Results: i=1; mx.example.com; spf=pass\r\n", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct header_field f = field(cases[i].text);

		if (results_claims(&f, ID) != cases[i].ours)
			print_error("%s", cases[i].text);
		assert_true(results_claims(&f, ID) == cases[i].ours);
	}
}

static void test_say(void **state)
{
	static const struct {
		const char *text;
		bool said;
	} cases[] = {
	    {"mx; dmarc=pass header.from=a.test", true},
	    {"mx 1; spf=fail; dmarc = pass (p=none) header.from=\"A.test\"; x=y", true},
	    {"mx; dmarc=pass header.from=b.test", false},
	    {"mx; dmarc=pass", false},
	    {"mx; dmarc=fail header.from=a.test", false},
	    {"mx; dmarc=fail (dmarc=pass header.from=a.test) header.from=a.test", false},
	    {"mx; x=\"dmarc=pass header.from=a.test\"", false},
	    {"dmarc=pass header.from=a.test", false},
	    {"", false},
	    {"mx; (((", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(results_say(slice_of(cases[i].text), "dmarc", "pass", "header.from",
					SLICE("a.test")) == cases[i].said);
}

/* What strangers have chosen cannot leave its place in the field. */
static void test_text_is_escaped(void **state)
{
	struct spf_answer spf = {.result = SPF_FAIL, .reason = SLICE("a) b; dmarc=pass\r\nX: y")};
	struct dkim_signature d = {.result = DKIM_FAIL,
				   .reason = "bad",
				   .s = {.domain = SLICE("a\";b"), .selector = SLICE("s")}};
	struct dkim_message dkim = {.signature = &d, .count = 1};
	struct dmarc_answer dmarc = {
	    .result = DMARC_FAIL, .domain = SLICE("a.test"), .reason = "no"};
	struct results r = {.authserv_id = ID,
			    .sender = SLICE("\"x\r\ny; dmarc=pass\"@a.test"),
			    .spf = &spf,
			    .dkim = &dkim,
			    .dmarc = &dmarc};
	struct str out = {0};
	struct slice block;
	struct header_field f;

	results_field(&r, &out);
	block = str_slice(&out);
	assert_true(header_next(&block, &f) && block.len == 0);
	assert_true(results_say(f.value, "spf", "fail", NULL, SLICE_NONE));
	assert_false(results_say(f.value, "dmarc", "pass", NULL, SLICE_NONE));
	assert_true(results_say(f.value, "dmarc", "fail", "header.from", SLICE("a.test")));
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_claims),
					   cmocka_unit_test(test_say),
					   cmocka_unit_test(test_text_is_escaped)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
