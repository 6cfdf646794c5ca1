/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "smtpd/data_scan.h"

#define LONGEST 8

/* The rules said the slow way: a line at a time.  Returns the bytes taken, or 0 when no end. */
static size_t reference(const char *in, size_t len, char *out, size_t *out_len)
{
	size_t at = 0;
	bool after_crlf = true;

	*out_len = 0;
	while (at < len) {
		const char *lf = memchr(in + at, '\n', len - at);
		size_t end = lf ? (size_t)(lf - in) : len;
		bool crlf = lf && end > at && in[end - 1] == '\r';
		size_t text_end = crlf ? end - 1 : end;

		if (lf && crlf && after_crlf && text_end - at == 1 && in[at] == '.')
			return end + 1;
		for (size_t i = at; i < text_end; i++) {
			if (i == at && in[i] == '.')
				continue;
			if (!lf && i == text_end - 1 && in[i] == '\r')
				continue; /* not known yet */
			out[(*out_len)++] = in[i] == '\r' ? ' ' : in[i];
		}
		if (!lf)
			return 0;
		out[(*out_len)++] = '\r';
		out[(*out_len)++] = '\n';
		after_crlf = crlf;
		at = end + 1;
	}
	return 0;
}

static void check(const char *in, size_t len, size_t split)
{
	struct data_scan scan;
	struct str out = { 0 };
	char expected[64];
	size_t expected_len, taken, want = reference(in, len, expected, &expected_len);
	bool end;

	data_scan_start(&scan, true);
	taken = data_scan_feed(&scan, slice_make(in, split), &out, &end);
	if (!end)
		taken += data_scan_feed(&scan, slice_make(in + split, len - split), &out, &end);
	assert_int_equal(end, want != 0);
	assert_int_equal(taken, want ? want : len);
	assert_int_equal(out.len, expected_len);
	if (expected_len)
		assert_memory_equal(out.data, expected, expected_len);
	assert_int_equal(scan.content.length, out.len);
	str_free(&out);
}

/* Every string over {CR, LF, '.', a}, cut at every byte. */
static void test_all_short_strings(void **state)
{
	static const char alphabet[] = "\r\n.a";

	for (size_t len = 0; len <= LONGEST; len++) {
		for (size_t number = 0; number < (size_t)1 << (2 * len); number++) {
			char in[LONGEST];

			for (size_t i = 0; i < len; i++)
				in[i] = alphabet[number >> (2 * i) & 3];
			for (size_t split = 0; split <= len; split++)
				check(in, len, split);
		}
	}
}

static void test_what_is_counted(void **state)
{
	struct data_scan scan;
	struct str out = { 0 };
	bool end;

	data_scan_start(&scan, true);
	data_scan_feed(&scan, SLICE("A: b\r\n\r\n..x\r\n12345678\xc3\r\n.\r\nMAIL"), &out, &end);
	assert_true(end);
	assert_int_equal(scan.content.header_length, 8);
	assert_int_equal(scan.content.longest_line, 9);
	assert_true(scan.content.leading_dots);
	assert_true(scan.content.eight_bit);
	assert_false(scan.bare_lf);
	assert_int_equal(out.len, 8 + 4 + 11);
	str_free(&out);
}

static void test_bdat_keeps_dots_and_completes_the_line(void **state)
{
	struct data_scan scan;
	struct str out = { 0 };
	bool end;

	data_scan_start(&scan, false);
	data_scan_feed(&scan, SLICE(".\r\n..\n.\r\nx\r"), &out, &end);
	assert_false(end);
	data_scan_finish(&scan, &out);
	assert_string_equal(out.data, ".\r\n..\r\n.\r\nx \r\n");
	assert_true(scan.bare_lf);
	str_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_short_strings),
		cmocka_unit_test(test_what_is_counted),
		cmocka_unit_test(test_bdat_keeps_dots_and_completes_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
