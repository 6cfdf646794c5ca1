/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/dovecot_line.h"

static struct dovecot_line parse(const char *text)
{
	struct dovecot_line line;

	assert_true(dovecot_parse(slice_of(text), &line));
	return line;
}

static bool same(struct slice text, const char *wanted)
{
	return slice_eq(text, slice_of(wanted));
}

static void test_handshake(void **state)
{
	struct dovecot_line line = parse("MECH\tSCRAM-SHA-256\tmutual-auth\tfuture-word");

	assert_int_equal(line.kind, DOVECOT_MECHANISM);
	assert_true(same(line.name, "SCRAM-SHA-256"));
	assert_int_equal(line.properties, SASL_MUTUAL_AUTH);
	assert_int_equal(parse("MECH\tX").properties, 0);
	line = parse("VERSION\t1\t2");
	assert_int_equal(line.kind, DOVECOT_VERSION);
	assert_int_equal(line.number, 1);
	assert_int_equal(parse("DONE").kind, DOVECOT_DONE);
	assert_int_equal(parse("COOKIE\tabc").kind, DOVECOT_OTHER);
	assert_int_equal(parse("").kind, DOVECOT_OTHER);
	assert_int_equal(parse("OKAY\tx").kind, DOVECOT_OTHER);
}

static void test_answers(void **state)
{
	struct dovecot_line line = parse("CONT\t7\tVXNlcm5hbWU6");

	assert_true(line.kind == DOVECOT_CONTINUE && line.number == 7 && same(line.data, "VXNlcm5hbWU6"));
	assert_int_equal(parse("CONT\t7\t").data.len, 0);
	assert_int_equal(parse("CONT\t7").data.len, 0);
	line = parse("OK\t8\tuser=bob\tresp=");
	assert_true(line.kind == DOVECOT_OK && line.number == 8 && same(line.user, "bob"));
	line = parse("FAIL\t9\tuser=bob\ttemp\treason=not now");
	assert_true(line.kind == DOVECOT_FAIL && line.temporary && same(line.reason, "not now"));
	line = parse("FAIL\t9\tcode=temp_fail");
	assert_true(line.temporary);
	line = parse("FAIL\t9\tuser=bob\tcode=user_disabled\tauthz");
	assert_true(!line.temporary && same(line.code, "user_disabled"));
}

static void test_malformed(void **state)
{
	static const char *const bad[] = { "CONT", "CONT\tx\t", "OK\t", "OK\t-1\tuser=x", "FAIL\t99999999999999999999", "MECH", "MECH\t",
					   "MECH\tA B", "VERSION\tx" };
	struct dovecot_line line;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(dovecot_parse(slice_of(bad[i]), &line));
}

static void test_escapes(void **state)
{
	struct str s = { 0 };

	dovecot_unescape(slice_make("a\001tb\0011c\001", 8), &s);
	assert_string_equal(str_cstr(&s), "a\tb\001c\001");
	str_clear(&s);
	dovecot_put(&s, "user", SLICE("a\tb\nc\001"));
	assert_string_equal(str_cstr(&s), "\tuser=a\001tb\001nc\0011");
	str_free(&s);
}

static void test_request(void **state)
{
	struct auth_start start = { .mechanism = SLICE("PLAIN"), .client_address = SLICE("192.0.2.7"), .local_address = SLICE("192.0.2.1"),
				    .client_port = SLICE("4711"), .local_port = SLICE("587"), .has_response = true,
				    .response = SLICE("foo"), .secured = true, .certificate = true };
	struct str s = { 0 };

	dovecot_put_auth(&s, 3, "smtp", &start);
	assert_string_equal(str_cstr(&s), "AUTH\t3\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\tlport=587\trport=4711"
					  "\tsecured\tvalid-client-cert\tresp=Zm9v\n");
	str_clear(&s);
	/* An absent response is not an empty one. */
	dovecot_put_auth(&s, 4, "smtp", &(struct auth_start){ .mechanism = SLICE("LOGIN") });
	assert_string_equal(str_cstr(&s), "AUTH\t4\tLOGIN\tservice=smtp\tnologin\n");
	str_clear(&s);
	dovecot_put_auth(&s, 5, "smtp", &(struct auth_start){ .mechanism = SLICE("PLAIN"), .has_response = true });
	assert_string_equal(str_cstr(&s), "AUTH\t5\tPLAIN\tservice=smtp\tnologin\tresp=\n");
	str_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_handshake), cmocka_unit_test(test_answers),
					    cmocka_unit_test(test_malformed), cmocka_unit_test(test_escapes),
					    cmocka_unit_test(test_request) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
