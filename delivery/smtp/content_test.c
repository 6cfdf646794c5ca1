/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "delivery/smtp/content.h"
#include "delivery/smtp/reply.h"

/* `cut`: where the input is split. */
static void filter(struct slice in, size_t cut, size_t limit, struct str *out)
{
	struct content_filter f = { .limit = limit, .dots = true };

	str_clear(out);
	content_filter_put(&f, slice_sub(in, 0, cut), out);
	content_filter_put(&f, slice_sub(in, cut, in.len), out);
	content_filter_end(&f, out);
}

/* What the transformer should do without a limit, said differently. */
static void expected(struct slice in, struct str *out)
{
	bool start = true;

	str_clear(out);
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		bool crlf = c == '\r' && i + 1 < in.len && in.ptr[i + 1] == '\n';
		bool at_end = c == '\r' && i + 1 == in.len;

		if (crlf || c == '\n' || at_end) {
			str_append(out, SLICE("\r\n"));
			start = true;
			i += crlf;
			continue;
		}
		if (start && c == '.')
			str_append_byte(out, '.');
		str_append_byte(out, c == '\r' ? ' ' : c);
		start = false;
	}
	if (!start)
		str_append(out, SLICE("\r\n"));
}

static void test_all_strings(void **state)
{
	static const char letters[] = { '\r', '\n', '.', 'a' };
	struct str out = { 0 }, want = { 0 };
	size_t tried = 0;

	for (size_t len = 0; len <= 6; len++) {
		for (size_t n = 0; n < (size_t)1 << (2 * len); n++) {
			char in[6];

			for (size_t i = 0; i < len; i++)
				in[i] = letters[n >> (2 * i) & 3];
			expected(slice_make(in, len), &want);
			for (size_t cut = 0; cut <= len; cut++) {
				filter(slice_make(in, len), cut, 0, &out);
				assert_true(content_is_clean(str_slice(&out)));
				assert_true(slice_eq(str_slice(&out), str_slice(&want)));
				/* the end of data stands nowhere inside */
				assert_null(strstr(str_cstr(&out), "\r\n.\r\n"));
				assert_false(slice_starts(str_slice(&out), SLICE(".\r\n")));
				tried++;
			}
		}
	}
	assert_true(tried > 5000);
	str_free(&out);
	str_free(&want);
}

static void check_fold(struct slice in, size_t limit, const char *want)
{
	struct str out = { 0 };

	for (size_t cut = 0; cut <= in.len; cut++) {
		filter(in, cut, limit, &out);
		assert_string_equal(str_cstr(&out), want);
	}
	str_free(&out);
}

static void test_folding(void **state)
{
	check_fold(SLICE("0123456789\r\n"), 10, "0123456789\r\n");
	check_fold(SLICE("0123456789a\r\n"), 10, "0123456789\r\n a\r\n");
	check_fold(SLICE("0123456789abcdefghijk\r\n.b\r\n"), 10, "0123456789\r\n abcdefghi\r\n jk\r\n..b\r\n");
	check_fold(SLICE("012345678\xe2\x82\xac" "1\r\n"), 10, "012345678\r\n \xe2\x82\xac" "1\r\n");
	check_fold(SLICE("01234567\xc3\xa9\xc3\xa9\r\n"), 10, "01234567\xc3\xa9\r\n \xc3\xa9\r\n");
	check_fold(SLICE(".123456789\r\n"), 10, "..123456789\r\n");
	check_fold(SLICE("012345678\r9\r\n"), 10, "012345678 \r\n 9\r\n");
}

static void test_long_text_in_any_pieces(void **state)
{
	struct str in = { 0 }, out = { 0 }, back = { 0 };
	size_t start = 0;

	for (int i = 0; i < 3000; i++)
		str_append_text(&in, i % 3 == 0 ? "a" : i % 3 == 1 ? "\xc3\xbc" : "\xf0\x9f\x98\x80");
	for (size_t cut = 0; cut < in.len; cut += 7) {
		filter(str_slice(&in), cut, 998, &out);
		str_clear(&back);
		start = 0;
		while (start < out.len) {
			size_t end = (size_t)(strstr(out.data + start, "\r\n") - out.data);
			struct slice line = slice_make(out.data + start, end - start);

			assert_true(line.len <= 998);
			for (size_t at = 0; at < line.len;) {
				size_t n = smtp_utf8_sequence(slice_sub(line, at, line.len));

				assert_true(n > 0);
				at += n;
			}
			str_append(&back, slice_sub(line, start > 0, line.len));
			start = end + 2;
		}
		assert_true(slice_eq(str_slice(&back), str_slice(&in)));
	}
	str_free(&in);
	str_free(&out);
	str_free(&back);
}

static void test_clean(void **state)
{
	assert_true(content_is_clean(SLICE("")));
	assert_true(content_is_clean(SLICE("a\r\n\r\n")));
	assert_false(content_is_clean(SLICE("a\r\nb")));
	assert_false(content_is_clean(SLICE("a\n")));
	assert_false(content_is_clean(SLICE("\n")));
	assert_false(content_is_clean(SLICE("a\rb\r\n")));
	assert_false(content_is_clean(SLICE("a\r\r\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_strings),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_long_text_in_any_pieces),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
