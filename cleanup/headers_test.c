/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup/headers.h"

static struct slice drop[] = { { "bcc", 3 }, { "return-path", 11 } };
static struct message_recipient one = { .address = { "a@example.com", 13 } };
static struct arena *arena;

static struct headers_settings settings(void)
{
	return (struct headers_settings){ .hostname = "h.example.com", .origin = "example.com", .mail_name = "Postrider",
					  .undisclosed = "", .drop = drop, .drop_count = 2 };
}

static struct message_envelope envelope(enum message_origin origin)
{
	return (struct message_envelope){ .origin = origin, .sender = SLICE("me@example.com"), .helo = SLICE("client"),
					  .client_name = SLICE("unknown"), .client_address = SLICE("192.0.2.1"),
					  .protocol = SLICE("ESMTP"), .arrival = 1700000000, .recipients = &one,
					  .recipient_count = 1 };
}

#define RECEIVED                                                                                                  \
	"Received: from client (unknown [192.0.2.1])\r\n\tby h.example.com (Postrider) with ESMTP id 4abc\r\n" \
	"\tfor <a@example.com>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"

static void expect(const char *content, enum message_origin origin, const char *block, bool replaces, size_t length)
{
	struct headers_settings s = settings();
	struct message_envelope e = envelope(origin);
	struct headers_result r;

	headers_build(&r, slice_of(content), true, &e, "4abc", &s, arena);
	assert_string_equal(str_cstr(&r.block), block);
	assert_int_equal(r.replaces, replaces);
	assert_int_equal(r.header_length, length);
	assert_true(r.complete);
	headers_free(&r);
}

static void blocks(void **state)
{
	/* Nothing to change: the content stays as it is. */
	expect("Subject: x\r\n\r\nbody\r\n", ORIGIN_SMTP, RECEIVED, false, 14);
	expect("Subject: x\r\n", ORIGIN_SMTP, RECEIVED, false, 12);
	expect("", ORIGIN_SMTP, RECEIVED, false, 0);
	expect("\r\nbody\r\n", ORIGIN_SMTP, RECEIVED, false, 2);
	/* Fields that go. */
	expect("Return-Path: <x>\r\nSubject: x\r\nBCC: a,\r\n b\r\n\r\nBcc: body\r\n", ORIGIN_SMTP,
	       RECEIVED "Subject: x\r\n\r\n", true, 45);
	/* A body without header, and one that follows the fields at once. */
	expect("body\r\n\r\nmore\r\n", ORIGIN_SMTP, RECEIVED "\r\n", false, 0);
	expect("Subject: x\r\nbody\r\n\r\n", ORIGIN_SMTP, RECEIVED "Subject: x\r\n\r\n", true, 12);
	expect("From me Mon\r\nTo: x\r\n\r\nb\r\n", ORIGIN_SMTP, RECEIVED "X-Mailbox-Line: From me Mon\r\nTo: x\r\n\r\n", true,
	       22);
}

static void missing(void **state)
{
	expect("Subject: x\r\n\r\n", ORIGIN_LOCAL,
	       "Received: by h.example.com (Postrider, from userid 0)\r\n\tid 4abc; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"
	       "Message-Id: <20231114221320.4abc@h.example.com>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"
	       "From: me@example.com\r\n", false, 14);
	expect("date: x\r\nFROM: y\r\nMessage-ID: z\r\n\r\n", ORIGIN_LOCAL,
	       "Received: by h.example.com (Postrider, from userid 0)\r\n\tid 4abc; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n",
	       false, 35);
	struct headers_settings s = settings();
	struct message_envelope e = envelope(ORIGIN_SMTP);
	struct headers_result r;

	s.undisclosed = "To: undisclosed-recipients:;";
	s.always_add_missing = true;
	e.sender_full_name = SLICE("J. Doe");
	headers_build(&r, SLICE("X: y\r\n\r\n"), true, &e, "4abc", &s, arena);
	assert_non_null(strstr(str_cstr(&r.block), "\r\nTo: undisclosed-recipients:;\r\n"));
	assert_non_null(strstr(str_cstr(&r.block), "\r\nFrom: \"J. Doe\" <me@example.com>\r\n"));
	assert_string_equal(str_cstr(&r.message_id), "<20231114221320.4abc@h.example.com>");
	headers_free(&r);
}

static void counts(void **state)
{
	struct headers_settings s = settings();
	struct message_envelope e = envelope(ORIGIN_SMTP);
	struct headers_result r;
	struct slice content = SLICE("Received: a\r\nRECEIVED: b\r\nMessage-ID:\r\n <a\001b>\r\nResent-Message-ID: <c>\r\n\r\n"
				     "Received: body\r\n");

	headers_build(&r, content, true, &e, "4abc", &s, arena);
	assert_int_equal(r.hops, 2);
	assert_string_equal(str_cstr(&r.message_id), "<a b>");
	assert_string_equal(str_cstr(&r.resent_message_id), "<c>");
	headers_free(&r);
	/* Any beginning that is cut within the header is known to be incomplete. */
	for (size_t len = 0; len < 72; len++) {
		headers_build(&r, slice_sub(content, 0, len), false, &e, "4abc", &s, arena);
		assert_false(r.complete);
		assert_false(r.replaces);
		headers_free(&r);
	}
}

static int setup(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	arena = arena_create(0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

static void test_encrypted_session(void **state)
{
	struct headers_settings s = settings();
	struct message_envelope e = envelope(ORIGIN_SMTP);
	struct headers_result r;

	e.tls = SLICE("TLSv1.3 with cipher X (256/256 bits) key-exchange X25519 server-digest SHA256");
	e.tls_peer = SLICE("Client CN \"a\\r\nb\"");
	e.sasl_login = SLICE("joe");
	e.show_login = true;
	headers_build(&r, SLICE("Subject: x\r\n\r\n"), true, &e, "4abc", &s, arena);
	assert_non_null(strstr(str_cstr(&r.block), "from client (unknown [192.0.2.1])\r\n"
			       "\t(using TLSv1.3 with cipher X (256/256 bits)\r\n"
			       "\t key-exchange X25519 server-digest SHA256)\r\n"));
	assert_non_null(strstr(str_cstr(&r.block), "\t(Authenticated sender: joe)\r\n\tby h.example.com"));
	assert_null(strstr(str_cstr(&r.block), "\nb"));
	headers_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encrypted_session),
		cmocka_unit_test(blocks), cmocka_unit_test(missing), cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
