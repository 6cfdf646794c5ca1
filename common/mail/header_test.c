/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "common/mail/header.h"

static void fields(void **state)
{
	struct slice block = SLICE("From me Mon\r\nSubject: a\r\n b\r\nTo :x\r\nEmpty:\r\n\r\nBody: no\r\n");
	struct header_field f;
	struct str text = { 0 };

	assert_true(header_next(&block, &f));
	assert_int_equal(f.name.len, 0);
	assert_true(header_next(&block, &f));
	assert_true(header_is(&f, "SUBJECT"));
	header_unfold(&text, f.value);
	assert_string_equal(str_cstr(&text), "a b");
	assert_true(slice_eq(f.whole, SLICE("Subject: a\r\n b\r\n")));
	assert_true(header_next(&block, &f));
	assert_true(header_is(&f, "to") && slice_eq(f.value, SLICE("x")));
	assert_true(header_next(&block, &f));
	assert_true(header_is(&f, "empty") && f.value.len == 0);
	assert_false(header_next(&block, &f));
	assert_true(slice_starts(block, SLICE("\r\nBody")));
	str_free(&text);
}

static void no_fields(void **state)
{
	static const char *const blocks[] = { "", "\n", "\r\n", ": x\r\n", " folded: x\r\n", "no colon\r\n", "a b: c\r\n",
					      "\r", "x" };
	struct header_field f;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct slice block = slice_of(blocks[i]);

		assert_false(header_next(&block, &f));
		assert_true(block.ptr == blocks[i]);
	}
	struct slice open = SLICE("Name: no end");

	assert_true(header_next(&open, &f));
	assert_true(slice_eq(f.value, SLICE("no end")));
	assert_int_equal(open.len, 0);
}

static void dates(void **state)
{
	char date[HEADER_DATE_SIZE];

	setenv("TZ", "EST5", 1);
	tzset();
	header_date(1700000000, date);
	assert_string_equal(date, "Tue, 14 Nov 2023 17:13:20 -0500 (EST)");
	setenv("TZ", "UTC", 1);
	tzset();
	header_date(1700000000.9, date);
	assert_string_equal(date, "Tue, 14 Nov 2023 22:13:20 +0000 (UTC)");
	header_date(-5, date);
	assert_string_equal(date, "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)");
}

static void received(void **state)
{
	struct message_envelope e = { .origin = ORIGIN_SMTP, .helo = SLICE("he(lo\r\nX: y"), .client_name = SLICE("mx.example.com"),
				      .client_address = SLICE("2001:db8::1"), .protocol = SLICE("ESMTP"), .arrival = 1700000000 };
	struct str out = { 0 };

	setenv("TZ", "UTC", 1);
	tzset();
	header_received(&out, &e, "4abc", "mail.example.com", "Postrider", SLICE("a@b"));
	assert_string_equal(str_cstr(&out), "Received: from he?lo??X: y (mx.example.com [IPv6:2001:db8::1])\r\n"
		"\tby mail.example.com (Postrider) with ESMTP id 4abc\r\n"
		"\tfor <a@b>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n");
	str_clear(&out);
	header_received(&out, &e, "4abc", "mail.example.com", "Postrider", SLICE_NONE);
	assert_non_null(strstr(str_cstr(&out), "id 4abc;\r\n\tTue, 14"));
	str_clear(&out);
	e.origin = ORIGIN_LOCAL;
	e.uid = 1000;
	header_received(&out, &e, "4abc", "h", "Postrider", SLICE("a@b"));
	assert_string_equal(str_cstr(&out), "Received: by h (Postrider, from userid 1000)\r\n"
		"\tid 4abc; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n");
	str_clear(&out);
	header_message_id(&out, 1700000000, "4abc", "h");
	assert_string_equal(str_cstr(&out), "<20231114221320.4abc@h>");
	str_clear(&out);
	header_phrase(&out, SLICE("J. \"R\" Doe"));
	assert_string_equal(str_cstr(&out), "\"J. \\\"R\\\" Doe\"");
	str_clear(&out);
	header_phrase(&out, SLICE("Jane Doe"));
	assert_string_equal(str_cstr(&out), "Jane Doe");
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields), cmocka_unit_test(no_fields), cmocka_unit_test(dates), cmocka_unit_test(received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
