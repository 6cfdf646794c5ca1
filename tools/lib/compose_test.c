/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sysexits.h>

#include "tools/lib/compose.h"

static struct compose_options options(char *const *recipients)
{
	return (struct compose_options){ .login = "me", .full_name = "", .recipients = recipients };
}

static void expect(const struct compose_options *o, const char *input, int status, const char *expected)
{
	struct str out = { 0 };
	struct err err = { 0 };
	FILE *f = fmemopen((void *)input, strlen(input), "r");

	assert_non_null(f);
	assert_int_equal(compose_message(o, f, &out, &err), status);
	if (expected)
		assert_string_equal(str_cstr(&out), expected);
	else
		assert_true(err.text[0] != '\0');
	fclose(f);
	str_free(&out);
}

static void plain(void **state)
{
	char a[] = "a@b, Joe <c@d>", b[] = "root";
	char *list[] = { a, b, NULL }, *none[] = { NULL };
	struct compose_options o = options(list);

	expect(&o, "Subject: x\n\n.x\n.\nlost\n", 0, "PRm1\nSme\nRa@b\nRc@d\nRroot\n\nSubject: x\n\n.x\n");
	o.dot_is_text = true;
	o.sender = "Jane Doe <jane@example.com>";
	o.full_name = "J";
	o.notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	o.ret = RET_HDRS;
	o.envid = "id1";
	expect(&o, "From me Mon\nx\n.\r\nkept", 0,
	       "PRm1\nSjane@example.com\nFJ\nVid1\nTHDRS\nN10\nRa@b\nRc@d\nRroot\n\nx\n.\r\nkept");
	o = options(list);
	o.sender = "<>";
	expect(&o, "x\n.\r\ny", 0, "PRm1\nS\nRa@b\nRc@d\nRroot\n\nx\n");
	o.size_limit = 3;
	expect(&o, "xxxx\n", EX_UNAVAILABLE, NULL);
	o = options(none);
	expect(&o, "x\n", EX_USAGE, NULL);
	o = options(list);
	o.sender = "a@b\nRevil@x";
	o.envid = "x\ny";
	expect(&o, "x\n", EX_USAGE, NULL);
}

static void extracted(void **state)
{
	char extra[] = "x@y";
	char *none[] = { NULL }, *more[] = { extra, NULL };
	struct compose_options o = options(none);

	o.extract = true;
	expect(&o, "To: a@b,\n \"Q, R\" <c@d>\nBCC: secret@z\nCc: team: e@f, g;\nSubject: s\n\nTo: not@this\n", 0,
	       "PRm1\nSme\nRa@b\nRc@d\nRsecret@z\nRe@f\nRg\n\n"
	       "To: a@b,\n \"Q, R\" <c@d>\nCc: team: e@f, g;\nSubject: s\n\nTo: not@this\n");
	expect(&o, "To: a@b\nResent-To: r@s\nBcc: z@z\n\nx\n", 0,
	       "PRm1\nSme\nRr@s\n\nTo: a@b\nResent-To: r@s\n\nx\n");
	expect(&o, "Subject: x\n\n", EX_USAGE, NULL);
	expect(&o, "To: undisclosed-recipients:;\n\n", EX_USAGE, NULL);
	o.recipients = more;
	expect(&o, "To: a@b\n\nx\n", 0, "PRm1\nSme\nRx@y\nRa@b\n\nTo: a@b\n\nx\n");
}

static void notify(void **state)
{
	uint8_t bits;

	assert_true(compose_notify("never", &bits));
	assert_int_equal(bits, NOTIFY_NEVER);
	assert_true(compose_notify("Delay,failure", &bits));
	assert_int_equal(bits, NOTIFY_DELAY | NOTIFY_FAILURE);
	assert_false(compose_notify("never,failure", &bits));
	assert_false(compose_notify("sometimes", &bits));
	assert_false(compose_notify("", &bits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain), cmocka_unit_test(extracted), cmocka_unit_test(notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
