/* SPDX-License-Identifier: ISC */
/* Lists compiled and asked, without DNS and without other processes; tests/compat has the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/str.h"
#include "policy/rules.h"
#include "tests/support/policy_world.h"

static struct config *config;
static struct policy *policy;
static struct arena *arena;
static struct policy_memory session, transaction;
static struct policy_client client;
static struct policy_facts facts;
static struct smtp_reply reply;

/* One parameter beside those of POLICY_WORLD. */
static bool open_with(const char *parameter, const char *value, struct err *err)
{
	const struct config_override override = { parameter, value };

	config = policy_world(&override, 1, err);
	assert_non_null(config);
	policy = policy_create(config, err);
	arena = arena_create(0);
	session = transaction = (struct policy_memory){ 0 };
	client = (struct policy_client){ .name = "c.test", .reverse_name = "c.test", .address = "192.0.2.1", .port = "9",
					 .server_address = "127.0.0.1", .server_port = "25" };
	facts = (struct policy_facts){ .client = &client, .command = "RCPT", .protocol = "ESMTP", .queue_id = "NOQUEUE",
				       .helo = SLICE("helo.test"), .sender = SLICE("s@far.test"), .has_sender = true,
				       .recipient = SLICE("a@example.com") };
	return policy != NULL;
}

static void close_all(void)
{
	policy_free(&policy);
	config_free(&config);
	arena_free(&arena);
}

static bool ask(enum policy_stage stage)
{
	struct policy_question question = { stage, &facts, &session, &transaction, arena };

	reply = (struct smtp_reply){ 0 };
	return policy_ask(policy, &question, &reply);
}

static void answers(const char *expected)
{
	char text[sizeof(reply) + 8];

	assert_false(ask(POLICY_RECIPIENT));
	(void)snprintf(text, sizeof(text), "%d %s %s", reply.code, reply.dsn, reply.text);
	assert_string_equal(text, expected);
}

/* --- mistakes --- */

static void test_mistakes_name_parameter_and_word(void **state)
{
	static const struct {
		const char *parameter, *value, *expected;
	} rows[] = {
		{ "smtpd_client_restrictions", "permit_mynetwork", "unknown restriction \"permit_mynetwork\"" },
		{ "smtpd_sender_restrictions", "check_sender_access", "check_sender_access: something must follow it" },
		{ "smtpd_sender_restrictions", "check_sender_access nonsense", "expected type:table, not \"nonsense\"" },
		{ "smtpd_helo_restrictions", "reject_rbl_client bl.test=1.2.3", "filter \"1.2.3\" is not of the form" },
		{ "smtpd_helo_restrictions", "reject_rbl_client b_l!", "\"b_l!\" is not a domain" },
		{ "smtpd_data_restrictions", "warn_if_reject", "a restriction must follow warn_if_reject" },
		{ "smtpd_data_restrictions", "inline:{a=b}", "say what is to be looked up" },
		{ "smtpd_data_restrictions", "sleep x", "expected a number of seconds" },
		{ "smtpd_etrn_restrictions", "check_policy_service host:1", "expected inet:host:port or unix:path" },
		{ "smtpd_etrn_restrictions", "check_policy_service { unix:x, tries=2 }", "is no option of a policy service" },
		{ "smtpd_client_restrictions", "check_address_map inline:{a=b}", "is for local_header_rewrite_clients" },
		{ "strict", "strict", "contains itself" },
	};
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(open_with(rows[i].parameter, rows[i].value, &err));
		if (!strstr(err.text, rows[i].expected) || !strstr(err.text, rows[i].parameter) || !strstr(err.text, "/main.cf: "))
			fail_msg("%s = %s: %s", rows[i].parameter, rows[i].value, err.text);
		close_all();
	}
}

static void test_open_relays_do_not_start(void **state)
{
	static const char *const open[] = { "", "permit_mynetworks", "permit, reject", "warn_if_reject reject_unauth_destination",
					    "check_recipient_access inline:{a=reject}" };
	static const char *const closed[] = { "permit_mynetworks, reject", "permit_sasl_authenticated defer_unauth_destination",
					      "defer", "reject_unauth_destination", "defer_if_permit" };
	struct err err;

	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		assert_false(open_with("smtpd_relay_restrictions", open[i], &err));
		assert_non_null(strstr(err.text, "anybody could send anywhere"));
		close_all();
	}
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		assert_true(open_with("smtpd_relay_restrictions", closed[i], &err));
		close_all();
	}
}

/* --- answers --- */

static void test_relaying(void **state)
{
	struct err err;

	assert_true(open_with("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination", &err));
	assert_true(ask(POLICY_RECIPIENT));
	facts.recipient = SLICE("x@elsewhere.test");
	answers("554 5.7.1 <x@elsewhere.test>: Relay access denied");
	facts.recipient = SLICE("x%elsewhere.test@example.com");
	answers("554 5.7.1 <x%elsewhere.test@example.com>: Relay access denied");
	client.address = "127.0.0.5";
	assert_true(ask(POLICY_RECIPIENT));
	close_all();
}

static void test_results_of_access_tables(void **state)
{
	static const struct {
		const char *value, *expected; /* NULL: let through */
	} rows[] = {
		{ "OK", NULL }, { "dunno", NULL }, { "12345", NULL }, { "REJECT", "554 5.7.1 <s@far.test>: Sender address rejected: Access denied" },
		{ "REJECT go away", "554 5.7.1 <s@far.test>: Sender address rejected: go away" },
		{ "REJECT 5.1.1 of a recipient", "554 5.1.0 <s@far.test>: Sender address rejected: of a recipient" },
		{ "DEFER later", "450 4.7.1 <s@far.test>: Sender address rejected: later" },
		{ "451 4.3.2 busy", "451 4.3.2 <s@far.test>: Sender address rejected: busy" },
		{ "421", NULL },
		{ "DEFER_IF_PERMIT a doubt", "450 4.7.1 <s@far.test>: Sender address rejected: a doubt" },
		{ "DEFER_IF_REJECT", NULL }, { "reject_plaintext_session", "450 4.7.1 Session encryption is required" },
		{ "permit, reject", NULL }, { "strict, reject", "554 5.7.1 <s@far.test>: Sender address rejected: Access denied" },
		{ "no_such_word", "451 4.3.5 Server configuration error" }, { "FILTER nocolon", "451 4.3.5 Server configuration error" },
		{ "check_sender_access hash:/elsewhere", "451 4.3.5 Server configuration error" },
	};
	struct str value = { 0 };
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		str_clear(&value);
		str_printf(&value, "check_sender_access inline:{ {s@far.test = %s} }", rows[i].value);
		assert_true(open_with("smtpd_sender_restrictions", str_cstr(&value), &err));
		if (rows[i].expected)
			answers(rows[i].expected);
		else
			assert_true(ask(POLICY_RECIPIENT));
		close_all();
	}
	str_free(&value);
}

static void test_effects(void **state)
{
	struct err err;

	assert_true(open_with("smtpd_sender_restrictions",
			      "check_sender_access inline:{ {s@far.test = FILTER smtp:[far.test]} }, "
			      "check_client_access inline:{ {192.0.2 = HOLD} }, check_helo_access inline:{ {helo.test = BCC c@example.com} }, "
			      "check_recipient_access inline:{ {a@example.com = REDIRECT r@example.com} }, "
			      "check_recipient_access inline:{ {a@example.com = PREPEND X-Seen: yes} }", &err));
	assert_true(ask(POLICY_RECIPIENT));
	assert_true(slice_eq(transaction.effects.filter, SLICE("smtp:[far.test]")));
	assert_true(slice_eq(transaction.effects.redirect, SLICE("r@example.com")));
	assert_true(slice_eq(transaction.effects.prepend, SLICE("X-Seen: yes\r\n")));
	assert_true(transaction.effects.hold && !transaction.effects.discard);
	assert_int_equal(transaction.effects.bcc_count, 1);
	assert_true(slice_eq(transaction.effects.bcc[0], SLICE("c@example.com")));
	close_all();
	/* VRFY asks only. */
	assert_true(open_with("smtpd_sender_restrictions", "check_client_access inline:{ {192.0.2 = HOLD} }", &err));
	facts.asked_only = true;
	assert_true(ask(POLICY_RECIPIENT));
	assert_false(transaction.effects.hold);
	close_all();
}

static void test_failing_tables_defer(void **state)
{
	struct err err;

	assert_true(open_with("smtpd_sender_restrictions", "check_sender_access fail:broken, permit", &err));
	answers("451 4.3.0 <s@far.test>: Temporary lookup failure");
	close_all();
	assert_true(open_with("smtpd_sender_restrictions", "warn_if_reject check_sender_access fail:broken", &err));
	answers("451 4.3.0 <s@far.test>: Temporary lookup failure");
	close_all();
	assert_true(open_with("local_recipient_maps", "fail:broken", &err));
	answers("451 4.3.0 <a@example.com>: Temporary lookup failure");
	close_all();
}

static void test_addresses_that_are_none(void **state)
{
	struct err err;

	assert_true(open_with("smtpd_delay_reject", "yes", &err));
	facts.recipient = SLICE("-oQ@example.com");
	answers("501 5.1.3 Bad recipient address syntax");
	facts.recipient = SLICE("a@127.0.0.1");
	answers("501 5.1.3 Bad recipient address syntax");
	facts.sender = SLICE("x@2130706433");
	assert_false(ask(POLICY_SENDER));
	assert_int_equal(reply.code, 501);
	facts.sender = SLICE("");
	assert_true(ask(POLICY_SENDER));
	close_all();
}

static void test_speaking_out_of_turn(void **state)
{
	struct err err;

	assert_true(open_with("smtpd_recipient_restrictions", "reject_unauth_pipelining", &err));
	assert_true(ask(POLICY_RECIPIENT));
	facts.out_of_turn = true;
	answers("503 5.5.0 <a@example.com>: Recipient address rejected: Improper use of SMTP command pipelining");
	close_all();
}

static void test_whose_mail_is_from_here(void **state)
{
	struct err err;

	assert_true(open_with("local_header_rewrite_clients", "permit_mynetworks, permit_sasl_authenticated, inline:{192.0.2.9=x}", &err));
	assert_true(ask(POLICY_SENDER));
	assert_false(transaction.effects.from_here);
	client.address = "192.0.2.9";
	assert_true(ask(POLICY_SENDER));
	assert_true(transaction.effects.from_here);
	client.address = "192.0.2.1";
	facts.login = SLICE("user");
	assert_true(ask(POLICY_SENDER));
	assert_true(transaction.effects.from_here);
	close_all();
}

/* --- parts --- */

static void test_filters(void **state)
{
	static const struct {
		const char *text;
		unsigned char octets[4];
		bool matches;
	} rows[] = {
		{ "bl.test", { 127, 9, 9, 9 }, true }, { "bl.test=127.0.0.2", { 127, 0, 0, 2 }, true },
		{ "bl.test=127.0.0.2", { 127, 0, 0, 3 }, false }, { "bl.test=127.0.0.[2..4]", { 127, 0, 0, 4 }, true },
		{ "bl.test=127.0.0.[2..4]", { 127, 0, 0, 5 }, false }, { "bl.test=127.0.[0;2].[1;5..7;200]", { 127, 0, 2, 6 }, true },
		{ "bl.test=127.0.[0;2].[1;5..7;200]", { 127, 0, 1, 6 }, false }, { "bl.test=127.0.[0..255].1", { 127, 0, 255, 1 }, true },
	};
	static const char *const bad[] = { "", "=1.2.3.4", "b=1.2.3", "b=1.2.3.4.5", "b=1.2.3.256", "b=1.2.3.[", "b=1.2.3.[]", "b=1.2.3.[4..]",
					   "b=1.2.3.[5..4]", "b=1.2.3.[1;]", "b=1.2.3.4]", "b=1.2.[3]4.5", "b=.2.3.4", "b=1.2.3.-1" };
	struct dnsbl_zone zone;
	struct arena *a = arena_create(0);
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(dnsbl_parse(slice_of(rows[i].text), a, &zone, &err));
		assert_int_equal(dnsbl_filter_matches(&zone, rows[i].octets), rows[i].matches);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (dnsbl_parse(slice_of(bad[i]), a, &zone, &err))
			fail_msg("%s", bad[i]);
	arena_free(&a);
}

static void test_replies(void **state)
{
	char dsn[16];
	struct slice text = SLICE("550 5.7.1 x"), rest;

	assert_int_equal(reply_split_code(&text), 550);
	assert_true(slice_eq(text, SLICE("5.7.1 x")));
	rest = reply_split_dsn(text, 450, "5.1.1", dsn);
	assert_true(slice_eq(rest, SLICE("x")));
	assert_string_equal(dsn, "4.7.1");
	rest = reply_split_dsn(SLICE("5.7 x"), 550, "5.1.1", dsn);
	assert_true(slice_eq(rest, SLICE("5.7 x")));
	assert_string_equal(dsn, "5.1.1");
	text = SLICE("250 ok");
	assert_int_equal(reply_split_code(&text), 0);
	text = SLICE("5500 x");
	assert_int_equal(reply_split_code(&text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes_name_parameter_and_word), cmocka_unit_test(test_open_relays_do_not_start),
		cmocka_unit_test(test_relaying), cmocka_unit_test(test_results_of_access_tables), cmocka_unit_test(test_effects),
		cmocka_unit_test(test_failing_tables_defer), cmocka_unit_test(test_addresses_that_are_none),
		cmocka_unit_test(test_speaking_out_of_turn), cmocka_unit_test(test_whose_mail_is_from_here), cmocka_unit_test(test_filters), cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
