/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounce/notice.h"

static struct config *load(void)
{
	struct err err;
	int empty = memfd_create("main.cf", MFD_CLOEXEC);
	struct config_override override[] = { { "myhostname", "mx.test" }, { "maximal_queue_lifetime", "2d" } };
	struct config *config = config_load_copy("/nowhere", empty, override, 2, &err);

	assert_non_null(config);
	close(empty);
	return config;
}

#define HEAD "Charset: us-ascii\nFrom: MAILER-DAEMON (us)\nSubject: No\n\n"

static void test_good(void **state)
{
	struct config *config = load();
	struct templates t;
	struct err err = { 0 };

	templates_default(&t, config);
	for (size_t i = 0; i < TEMPLATE_KINDS; i++)
		assert_true(t.of[i].body.len > 0);
	assert_non_null(strstr(t.of[TEMPLATE_DELAY].body.data, "2 day(s)"));
	assert_true(templates_parse(&t,
				    SLICE("# x\n\nfailure_template = <<EOF\n" HEAD
					  "$myhostname ${myhostname} $(myhostname) $maximal_queue_lifetime_hours $$ $ $none.\n"
					  "${myhostname\nEOF\n"),
				    config, &err));
	assert_string_equal(t.of[TEMPLATE_FAILURE].body.data, "mx.test mx.test mx.test 48 $ $ .\r\n${myhostname\r\n");
	assert_string_equal(t.of[TEMPLATE_FAILURE].postmaster_subject.data, "No");
	assert_string_equal(t.of[TEMPLATE_SUCCESS].subject.data, "Successful Mail Delivery Report");
	templates_free(&t);
	config_free(&config);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"failure_template = <<EOF\n" HEAD "text\n",
		"failure_template = EOF\n" HEAD "text\nEOF\n",
		"other_template = <<EOF\n" HEAD "text\nEOF\n",
		"failure_template = <<EOF\nFrom: a\n\ntext\nEOF\n",
		"failure_template = <<EOF\nFrom: a\nSubject: b\nBcc: c\n\ntext\nEOF\n",
		"failure_template = <<EOF\nFrom: a\nSubject: b\nEOF\n",
		"failure_template = <<EOF\n" HEAD "\xc3\xa9\nEOF\n",
		"failure_template = <<EOF\nFrom: a\nSubject: \x01\n\ntext\nEOF\n",
		"text\n",
	};
	struct config *config = load();
	struct templates t;

	templates_default(&t, config);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { 0 };

		assert_false(templates_parse(&t, slice_of(bad[i]), config, &err));
		assert_true(err.text[0]);
		assert_string_equal(t.of[TEMPLATE_FAILURE].subject.data, "Undelivered Mail Returned to Sender");
	}
	templates_free(&t);
	config_free(&config);
}

/* --- what goes into a notice --- */

static void test_notice(void **state)
{
	struct config *config = load();
	struct templates t;
	struct message_recipient to[] = {
		{ .address = SLICE("a@x\r\nInjected: yes"), .status = RECIPIENT_FAILED },
		{ .address = SLICE("b@x"), .status = RECIPIENT_FAILED, .notify = NOTIFY_SUCCESS },
		{ .address = SLICE("c@x"), .status = RECIPIENT_PENDING, .orcpt = SLICE("rfc822;o@x") },
		{ .address = SLICE("d@x"), .status = RECIPIENT_TELL_RELAYED, .notify = NOTIFY_SUCCESS },
	};
	struct message_result results[4] = {
		{ .dsn = SLICE("5.1.1"), .relay = SLICE("mx[1.2.3.4]:25"), .text = SLICE("no \xc3\xa9"), .remote = SLICE("550 no\n") },
	};
	struct message_envelope e = { .sender = SLICE("s@x"), .recipients = to, .recipient_count = 4, .arrival = 1 };
	struct notice_settings s = { "mx.test", "origin.test", &t };
	struct notice n = { .kind = NOTICE_FAILURE, .queue_id = SLICE("ID"), .to = SLICE("s@x"), .only = NOTICE_ALL,
			    .envelope = &e, .results = results, .original = SLICE("Subject: x\r\n\r\n"), .now = 2 };
	struct str out = { 0 };

	templates_default(&t, config);
	notice_write(&n, &s, &out);
	assert_null(strstr(out.data, "\nInjected:"));
	assert_null(strstr(out.data, "<b@x>"));
	assert_null(strstr(out.data, "\xc3"));
	assert_non_null(strstr(out.data, "From: MAILER-DAEMON@origin.test (Mail Delivery System)\r\n"));
	assert_non_null(strstr(out.data, "\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx\r\n"
					 "Diagnostic-Code: smtp; 550 no \r\n"));
	str_clear(&out);
	n.postmaster = true; /* sees all */
	notice_write(&n, &s, &out);
	assert_non_null(strstr(out.data, "<b@x>"));
	assert_non_null(strstr(out.data, "Subject: Postmaster Copy: Undelivered Mail\r\n"));
	str_clear(&out);
	n.postmaster = false;
	n.kind = NOTICE_DELAY;
	n.retry_until = 86400;
	notice_write(&n, &s, &out);
	assert_non_null(strstr(out.data, "Original-Recipient: rfc822;o@x\r\nAction: delayed\r\nStatus: 4.0.0\r\n"));
	assert_non_null(strstr(out.data, "Will-Retry-Until: Fri, 02 Jan 1970"));
	assert_null(strstr(out.data, "<d@x>"));
	str_clear(&out);
	n.kind = NOTICE_SUCCESS;
	notice_write(&n, &s, &out);
	assert_non_null(strstr(out.data, "Final-Recipient: rfc822; d@x\r\nAction: relayed\r\nStatus: 2.0.0\r\n"));
	assert_null(strstr(out.data, "<c@x>"));
	str_free(&out);
	templates_free(&t);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
					    cmocka_unit_test(test_notice) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
