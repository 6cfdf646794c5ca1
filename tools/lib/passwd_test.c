/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tools/lib/passwd.h"

static void edit(const char *text, const char *user, const char *value, bool found, const char *wanted)
{
	struct str out = { 0 };

	assert_int_equal(passwd_edit(slice_of(text), slice_of(user), slice_of(value), &out), found);
	assert_string_equal(str_cstr(&out), wanted);
	str_free(&out);
}

static void test_edit(void **state)
{
	edit("", "Bob", "$y$1", false, "bob\t$y$1\n");
	edit("# users\nann x\n", "bob", "h", false, "# users\nann x\nbob\th\n");
	edit("ann x\nBOB y\n\neve z\n", "bob", "h", true, "ann x\nbob\th\n\neve z\n");
	edit("ann x\nbob y\neve z", "bob", NULL, true, "ann x\neve z\n");
	edit("ann x\nbob\n  y\n# note\n\tmore\neve z\n", "bob", NULL, true, "ann x\n# note\neve z\n");
	edit("bob 1\nbob 2\n", "bob", "h", true, "bob\th\n");
	edit("bobby 1\n", "bob", NULL, false, "bobby 1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_edit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
