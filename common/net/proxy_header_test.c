/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/net/proxy_header.h"

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define LINE(text) { SLICE(text), true, false, "", 0, "", 0 }
#define BAD(text)  { SLICE(text), false, false, "", 0, "", 0 }

static const struct {
	struct slice text;
	bool ok, proxied;
	const char *client;
	unsigned client_port;
	const char *server;
	unsigned server_port;
} cases[] = {
	{ SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 1025 25\r\n"), true, true, "192.0.2.1", 1025, "198.51.100.2", 25 },
	{ SLICE("PROXY TCP6 2001:DB8:0::1 ::1 65535 0\r\n"), true, true, "2001:db8::1", 65535, "::1", 0 },
	LINE("PROXY UNKNOWN\r\n"),
	LINE("PROXY UNKNOWN some words of 1 2 3 4 5\r\n"),
	BAD("PROXY TCP4 192.0.2.1 198.51.100.2 1025 25\n"),
	BAD("PROXY TCP4 192.0.2.1 198.51.100.2 1025 25 7\r\n"),
	BAD("PROXY TCP4 192.0.2.1 198.51.100.2 1025\r\n"),
	BAD("PROXY TCP4 192.0.2.1 198.51.100.2 1025 65536\r\n"),
	BAD("PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n"),
	BAD("PROXY TCP4 2001:db8::1 ::1 1025 25\r\n"),
	BAD("PROXY TCP4 192.0.2.1  198.51.100.2 1025 25\r\n"),
	BAD("PROXY TCP5 192.0.2.1 198.51.100.2 1025 25\r\n"),
	BAD("EHLO client.example.com\r\n"),
	{ SLICE(SIGN "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19"), true, true, "192.0.2.1", 1025, "198.51.100.2", 25 },
	/* with an extra */
	{ SLICE(SIGN "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19\x04\0\1x"), true, true, "192.0.2.1", 1025,
	  "198.51.100.2", 25 },
	{ SLICE(SIGN "\x21\x21\0\x24 \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\4\1\0\x19"), true, true,
	  "2001:db8::1", 1025, "::1", 25 },
	LINE(SIGN "\x20\0\0\0"),
	LINE(SIGN "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19"),
	LINE(SIGN "\x21\0\0\0"),
	BAD(SIGN "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\4\1\0"),
	BAD(SIGN "\x21\x31\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19"),
	BAD(SIGN "\x31\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19"),
	BAD(SIGN "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x19"),
	BAD(SIGN "\x21\x11\xff\xff\xc0\0\2\1"),
};

/* Read as smtpd does: never a byte more than what is asked for, with a greeting behind it. */
static void test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[PROXY_HEADER_MAX * 2];
		struct proxy_header h;
		size_t have = 0, wants;

		memcpy(text, cases[i].text.ptr, cases[i].text.len);
		memset(text + cases[i].text.len, 'E', sizeof(text) - cases[i].text.len);
		while ((wants = proxy_header_wants(slice_make(text, have))) > 0)
			have += wants;
		if (proxy_header_parse(slice_make(text, have), &h) != cases[i].ok || (cases[i].ok && have != cases[i].text.len))
			fail_msg("case %zu: %zu bytes read", i, have);
		assert_int_equal(h.proxied, cases[i].proxied);
		assert_string_equal(h.client.address, cases[i].client);
		assert_string_equal(h.server.address, cases[i].server);
		assert_int_equal(h.client.port, cases[i].client_port);
		assert_int_equal(h.server.port, cases[i].server_port);
	}
}

static void test_every_cut_is_incomplete(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proxy_header h;

		for (size_t cut = 0; cases[i].ok && cut < cases[i].text.len; cut++) {
			assert_true(proxy_header_wants(slice_sub(cases[i].text, 0, cut)) > 0);
			assert_false(proxy_header_parse(slice_sub(cases[i].text, 0, cut), &h));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_every_cut_is_incomplete) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
