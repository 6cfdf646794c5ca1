/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mail/verp.h"

static void check(const char *sender, const char *recipient, const char *want)
{
	struct str out = { 0 };

	verp_sender(&out, SLICE("+="), slice_of(sender), slice_of(recipient));
	assert_string_equal(str_cstr(&out), want);
	str_free(&out);
}

static void test_sender(void **state)
{
	check("owner@list.test", "user@site.test", "owner+user=site.test@list.test");
	check("owner", "user@site.test", "owner+user=site.test");
	check("owner@list.test", "user", "owner+user@list.test");
	check("a@b@list.test", "x@y@site.test", "a@b+x@y=site.test@list.test");
	check("", "user@site.test", "");
}

static void test_delimiters(void **state)
{
	assert_true(verp_delimiters_valid(SLICE("+="), "-=+"));
	assert_true(verp_delimiters_valid(SLICE("--"), "-=+"));
	assert_false(verp_delimiters_valid(SLICE("+"), "-=+"));
	assert_false(verp_delimiters_valid(SLICE("+=+"), "-=+"));
	assert_false(verp_delimiters_valid(SLICE("+@"), "-=+"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sender), cmocka_unit_test(test_delimiters) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
