/* SPDX-License-Identifier: ISC */
/* MAIL and RCPT: what is taken, what is refused, and what of it reaches the queue. */
#include "tests/support/smtpd_world.h"

#define DATA "DATA\r\nx\r\n.\r\n"

/* The last code before that of QUIT, and the story, of one MAIL and one RCPT. */
static const struct {
	const char *mail, *rcpt;
	int code;            /* 0: both are taken; else the refusal's, of MAIL when rcpt is NULL */
	const char *story;
} cases[] = {
	{ "<s@x>", "<a@x>", 0, "S<s@x> R<a@x>" },
	{ "<>", "<a@x>", 0, "S<> R<a@x>" },
	{ "<s@x> SIZE=1000", "<a@x>", 0, "S<s@x> R<a@x>" },
	{ "<s@x> SIZE=1001", NULL, 552, NULL },
	{ "<s@x> SIZE=", NULL, 501, NULL },
	{ "<s@x> SIZE=-1", NULL, 501, NULL },
	{ "<s@x> SIZE=18446744073709551616", NULL, 501, NULL },
	{ "<s@x> body=8bitmime ret=hdrs", "<a@x>", 0, "S<s@x> HDRS 8BIT R<a@x>" },
	{ "<s@x> BODY=7BIT RET=FULL", "<a@x>", 0, "S<s@x> FULL R<a@x>" },
	{ "<s@x> BODY=BINARYMIME", NULL, 555, NULL },
	{ "<s@x> RET=SOME", NULL, 501, NULL },
	{ "<s@x> ENVID=a+2Bb", "<a@x>", 0, "S<s@x> ENVID=a+b R<a@x>" },
	{ "<s@x> ENVID=", NULL, 501, NULL },
	{ "<s@x> ENVID=a+0A", NULL, 501, NULL },
	{ "<s@x> ENVID=a+0D", NULL, 501, NULL },
	{ "<s@x> ENVID=a+00", NULL, 501, NULL },
	{ "<s@x> ENVID=a+7F", NULL, 501, NULL },
	{ "<s@x> ENVID=a+2", NULL, 501, NULL },
	{ "<s@x> ENVID=a+", NULL, 501, NULL },
	{ "<s@x> ENVID=a+2b", NULL, 501, NULL },
	{ "<s@x> BY=120;R", "<a@x>", 0, "S<s@x> BY=120R R<a@x>" },
	{ "<s@x> BY=-5;nt", "<a@x>", 0, "S<s@x> BY=-5NT R<a@x>" },
	{ "<s@x> BY=0;N", "<a@x>", 0, "S<s@x> BY=0N R<a@x>" },
	{ "<s@x> BY=0;R", NULL, 501, NULL },
	{ "<s@x> BY=-1;R", NULL, 501, NULL },
	{ "<s@x> BY=1234567890;R", NULL, 501, NULL },
	{ "<s@x> BY=5", NULL, 501, NULL },
	{ "<s@x> BY=5;", NULL, 501, NULL },
	{ "<s@x> BY=5;X", NULL, 501, NULL },
	{ "<s@x> BY=5;RX", NULL, 501, NULL },
	{ "<s@x> BY=;R", NULL, 501, NULL },
	{ "<s@x> BY=--5;N", NULL, 501, NULL },
	{ "<s@x> XVERP", NULL, 555, NULL },
	{ "<s@x> AUTH=<>", NULL, 555, NULL },
	{ "<s@x> X-UNKNOWN", NULL, 555, NULL },
	{ "<s@x> SMTPUTF8=1", NULL, 555, NULL },
	{ "<s@x>SIZE=1", NULL, 501, NULL },
	{ "s@x", "a@x", 0, "S<s@x> R<a@x>" },
	{ "<\"s t\"@x>", "<\"a b\"@x>", 0, "S<s t@x> R<a b@x>" },
	{ "<@r1,@r2:s@x>", "<@r1:a@x>", 0, "S<s@x> R<a@x>" },
	{ "<s@[192.0.2.1]>", "<a@[IPv6:2001:db8::1]>", 0, "S<s@[192.0.2.1]> R<a@[IPv6:2001:db8::1]>" },
	{ "<s@x> SMTPUTF8", "<\xc3\xa9@x>", 0, "S<s@x> UTF8 R<\xc3\xa9@x>" },
	{ "<\xc3\xa9@x> SMTPUTF8", "<a@x>", 0, "S<\xc3\xa9@x> UTF8 R<a@x>" },
	{ "<\xc3\xa9@x>", NULL, 501, NULL },
	{ "<s@x>", "<\xc3\xa9@x>", 501, NULL },
	{ "<s@x>", "<a@x> NOTIFY=SUCCESS,failure,DELAY", 0, "S<s@x> R<a@x> N14" },
	{ "<s@x>", "<a@x> NOTIFY=NEVER", 0, "S<s@x> R<a@x> N1" },
	{ "<s@x>", "<a@x> NOTIFY=NEVER,DELAY", 501, NULL },
	{ "<s@x>", "<a@x> NOTIFY=", 501, NULL },
	{ "<s@x>", "<a@x> NOTIFY=SOMETIMES", 501, NULL },
	{ "<s@x>", "<a@x> ORCPT=rfc822;a+2Bb@x", 0, "S<s@x> R<a@x> O=rfc822;a+b@x" },
	{ "<s@x>", "<a@x> ORCPT=rfc822", 501, NULL },
	{ "<s@x>", "<a@x> ORCPT=;a", 501, NULL },
	{ "<s@x>", "<a@x> ORCPT=rfc822;a+0Ab", 501, NULL },
	{ "<s@x>", "<a@x> ORCPT=rfc822;a+00b", 501, NULL },
	{ "<s@x>", "<a@x> SIZE=1", 555, NULL },
	{ "<s@x>", "<>", 501, NULL },
	{ "<s@x>", "<a@x", 501, NULL },
	{ "<s@x>", "<a@-x>", 501, NULL },
	{ "<s@x>", "<a@x>,<b@x>", 501, NULL },
	{ "<s@x>", "<\"a\\\x01\"@x>", 501, NULL },
	{ "<s@x>", "<no@x>", 550, NULL },
	/* For a shell these would be more than addresses. */
	{ "<;id;@x>", NULL, 501, NULL },
	{ "<s@x>", "<a@x;id>", 501, NULL },
	{ "<s@x>", "<|/bin/sh@x>", 0, "S<s@x> R<|/bin/sh@x>" },
	{ "<s@x>", "<${run{id}}@x>", 0, "S<s@x> R<${run{id}}@x>" },
};

static void test_addresses_and_parameters(void **state)
{
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str input = { 0 }, want = { 0 };

		str_printf(&input, "EHLO c\r\nMAIL FROM:%s\r\n", cases[i].mail);
		str_append_text(&want, "220 250");
		if (cases[i].rcpt) {
			str_printf(&input, "RCPT TO:%s\r\n", cases[i].rcpt);
			str_append_text(&want, " 250");
		}
		if (cases[i].code)
			str_printf(&want, " %d", cases[i].code);
		else
			str_append_text(&want, " 250 354 250");
		if (!cases[i].code)
			str_append_text(&input, DATA);
		if (strcmp(world_codes(&w, str_cstr(&input)), str_cstr(&want)) != 0)
			fail_msg("%s, %s: %s", cases[i].mail, cases[i].rcpt ? cases[i].rcpt : "", str_cstr(&w.m.output));
		str_clear(&want);
		if (cases[i].story)
			str_printf(&want, "%s [3] x\r\n\n", cases[i].story);
		assert_string_equal(str_cstr(&w.story), str_cstr(&want));
		str_free(&input);
		str_free(&want);
	}
	world_free(&w);
}

/* Parameters are understood also of those who said HELO, as with Postfix. */
static void test_parameters_after_helo(void **state)
{
	struct world w;

	world_make(&w);
	assert_string_equal(world_codes(&w, "HELO c\r\nMAIL FROM:<s@x> SIZE=1\r\n"
					    "RCPT TO:<a@x> NOTIFY=NEVER\r\nRCPT TO:<a@x>\r\n"),
			    "220 250 250 250 250");
	world_free(&w);
}

static void test_strict_envelopes(void **state)
{
	struct world w;

	world_make(&w);
	w.settings.strict_envelopes = true;
	assert_string_equal(world_codes(&w, "MAIL FROM:s@x\r\nMAIL FROM:<s@x>\r\nRCPT TO:a@x\r\n"), "220 501 250 501");
	world_free(&w);
}

static void test_smtputf8_disabled(void **state)
{
	struct world w;

	world_make(&w);
	w.settings.smtputf8 = false;
	assert_string_equal(world_codes(&w, "EHLO c\r\nMAIL FROM:<s@x> SMTPUTF8\r\nMAIL FROM:<\xc3\xa9@x> SMTPUTF8\r\n"),
			    "220 250 555 501");
	world_free(&w);
}

/* Many recipients, some refused: exactly those that were taken, in order. */
static void test_many_recipients(void **state)
{
	struct world w;
	struct str input = { 0 }, want = { 0 };

	world_make(&w);
	str_append_text(&input, "EHLO c\r\nMAIL FROM:<s@x>\r\n");
	str_append_text(&want, "S<s@x>");
	for (int i = 0; i < 99; i++) {
		str_printf(&input, "RCPT TO:<%s%d@x> NOTIFY=%s\r\n", i % 7 == 3 ? "no" : "u", i, i % 2 ? "DELAY" : "NEVER");
		if (i % 7 != 3)
			str_printf(&want, " R<u%d@x> N%d", i, i % 2 ? 8 : 1);
	}
	str_append_text(&input, DATA);
	str_append_text(&want, " [3] x\r\n\n");
	w.m.piece = 3;
	world_say(&w, str_slice(&input));
	assert_string_equal(str_cstr(&w.story), str_cstr(&want));
	str_free(&input);
	str_free(&want);
	world_free(&w);
}

/* What a transaction that ended had is not in the next one. */
static void test_nothing_is_left_of_a_transaction(void **state)
{
	static const char *const ends[] = { "RSET\r\n", "EHLO d\r\n", "HELO d\r\nEHLO d\r\n", "DATA\r\ny\r\n.\r\n",
					    "BDAT 3 LAST\r\ny\r\n" };
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct str input = { 0 };
		const char *last;

		str_printf(&input, "EHLO c\r\nMAIL FROM:<first@x> BODY=8BITMIME RET=FULL ENVID=e SMTPUTF8\r\n"
				   "RCPT TO:<one@x> NOTIFY=NEVER ORCPT=rfc822;o\r\n%s"
				   "MAIL FROM:<second@x>\r\nRCPT TO:<two@x>\r\n" DATA, ends[i]);
		world_say(&w, str_slice(&input));
		last = strstr(str_cstr(&w.story), "S<second");
		assert_string_equal(last, "S<second@x> R<two@x> [3] x\r\n\n");
		assert_int_equal(w.committed, i < 3 ? 1 : 2);
		str_free(&input);
	}
	world_free(&w);
}

/* Texts of the client come back in one line. */
static void test_replies_are_lines(void **state)
{
	struct world w;
	struct str input = { 0 };

	world_make(&w);
	w.settings.line_limit = 60000;
	str_append_text(&input, "EHLO c\r\nMAIL FROM:<s@x> X\r");
	for (int i = 0; i < 5000; i++)
		str_append_byte(&input, 'y');
	str_append_text(&input, "=1\r\nVRFY \"a\r250 b\"@x\r\n");
	world_codes(&w, str_cstr(&input));
	for (size_t i = 0; i + 1 < w.m.output.len; i++)
		assert_true((w.m.output.data[i] == '\r') == (w.m.output.data[i + 1] == '\n'));
	assert_true(w.m.output.len < 1000);
	str_free(&input);
	world_free(&w);
}

static void test_cleanup_refuses(void **state)
{
	struct world w;

	world_make(&w);
	w.refuse_open = true;
	assert_string_equal(world_codes(&w, "EHLO c\r\nMAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nDATA\r\nRSET\r\n"),
			    "220 250 250 452 554 250");
	assert_int_equal(w.opened, 0);
	w.refuse_open = false;
	w.refuse_commit = true;
	/* Refused at its end: there is no transaction then. */
	assert_string_equal(world_codes(&w, "EHLO c\r\nMAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\n" DATA
					    "RCPT TO:<b@x>\r\nDATA\r\nMAIL FROM:<t@x>\r\n"),
			    "220 250 250 250 354 451 503 503 250");
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_and_parameters),
		cmocka_unit_test(test_parameters_after_helo),
		cmocka_unit_test(test_strict_envelopes),
		cmocka_unit_test(test_smtputf8_disabled),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_nothing_is_left_of_a_transaction),
		cmocka_unit_test(test_replies_are_lines),
		cmocka_unit_test(test_cleanup_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
