/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "delivery/lib/outcome.h"

#define EXITED(status)  ((status) << 8)

static void expect_exit(int status, const char *output, const char *dsn, const char *text)
{
	struct outcome o = { 0 };

	outcome_set_exit(&o, status, slice_of(output), "prog", "done");
	assert_string_equal(o.dsn, dsn);
	assert_string_equal(o.text, text);
	assert_int_equal(o.outcome, dsn[0] == '2' ? DELIVERY_SENT : dsn[0] == '5' ? DELIVERY_BOUNCED : DELIVERY_DEFERRED);
}

static void exits(void **state)
{
	expect_exit(0, "", "2.0.0", "done");
	expect_exit(0, "5.1.1 not looked at\n", "2.0.0", "done (5.1.1 not looked at)");
	expect_exit(EXITED(67), "", "5.1.1", "user unknown");
	expect_exit(EXITED(75), "", "4.3.0", "temporary failure");
	expect_exit(EXITED(71), "", "4.3.0", "system resource problem");
	expect_exit(EXITED(77), "a\nb", "5.7.0", "permission denied. Command output: a b");
	expect_exit(EXITED(78), "", "5.3.5", "local configuration error");
	expect_exit(EXITED(1), "", "5.3.0", "Command died with status 1: \"prog\"");
	expect_exit(EXITED(63), "x", "5.3.0", "Command died with status 63: \"prog\". Command output: x");
	expect_exit(9, "", "4.3.0", "Command died with signal 9: \"prog\"");
}

static void status_in_the_output_goes_first(void **state)
{
	expect_exit(EXITED(67), "4.2.1 later", "4.2.1", "later");
	expect_exit(EXITED(75), " 5.7.1 never\n", "5.7.1", "never");
	expect_exit(EXITED(75), "2.0.0 fine", "4.3.0", "temporary failure. Command output: 2.0.0 fine");
	expect_exit(EXITED(75), "4.2 later", "4.3.0", "temporary failure. Command output: 4.2 later");
	expect_exit(EXITED(75), "4.2.1234 x", "4.3.0", "temporary failure. Command output: 4.2.1234 x");
	expect_exit(EXITED(75), "4.2.1x", "4.3.0", "temporary failure. Command output: 4.2.1x");
	expect_exit(9, "5.1.1 x", "4.3.0", "Command died with signal 9: \"prog\". Command output: 5.1.1 x");
}

static void errors(void **state)
{
	static const struct { int error; const char *dsn; } known[] = {
		{ EDQUOT, "5.2.2" }, { EFBIG, "5.2.2" }, { ENOSPC, "4.3.0" }, { EACCES, "4.2.0" }, { EAGAIN, "4.2.0" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct outcome o;

		errno = known[i].error;
		outcome_set_errno(&o, "box %d", 1);
		assert_string_equal(o.dsn, known[i].dsn);
	}
}

static void through_a_pipe(void **state)
{
	struct outcome o, got = { 0 };
	char line[1200];
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	outcome_set_dsn(&o, "5.1.1", "no\nsuch \x01 user");
	assert_true(outcome_write(&o, fd[1]));
	ssize_t len = read(fd[0], line, sizeof(line));

	assert_true(outcome_parse(&got, slice_make(line, (size_t)len)));
	assert_int_equal(got.outcome, DELIVERY_BOUNCED);
	assert_string_equal(got.dsn, "5.1.1");
	assert_string_equal(got.text, "no such   user");
	assert_false(outcome_parse(&got, SLICE("")));
	assert_false(outcome_parse(&got, SLICE("7 2.0.0 x")));
	assert_false(outcome_parse(&got, SLICE("x 2.0.0 x")));
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(exits), cmocka_unit_test(status_in_the_output_goes_first),
					    cmocka_unit_test(errors), cmocka_unit_test(through_a_pipe) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
