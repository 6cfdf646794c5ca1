/* SPDX-License-Identifier: ISC */
#include "smtpd/data_scan.h"
#include "tests/support/fuzz.h"

struct result {
	struct data_scan scan;
	struct str out;
	size_t taken;
	bool end;
};

/* Feeds pieces whose sizes `seed` decides; 0: all at once. */
static void feed(struct result *r, struct slice in, bool dots, uint32_t seed)
{
	data_scan_start(&r->scan, dots);
	while (r->taken < in.len && !r->end) {
		size_t n = in.len - r->taken;

		if (seed) {
			seed = seed * 1103515245u + 12345;
			size_t piece = 1 + (seed >> 16) % 7;

			n = n < piece ? n : piece;
		}
		size_t taken = data_scan_feed(&r->scan, slice_sub(in, r->taken, n), &r->out, &r->end);

		FUZZ_CHECK(taken == n || (taken < n && r->end));
		r->taken += taken;
	}
	if (!dots)
		data_scan_finish(&r->scan, &r->out);
}

/* Nothing but CRLF.CRLF ends the message, and the first of them does. */
static void check_end(struct slice in, const struct result *r)
{
	size_t end = 0;

	for (size_t i = 2; i < in.len && !end; i++)
		if (memcmp(in.ptr + i - 2, ".\r\n", 3) == 0 &&
		    (i == 2 || (i > 3 && memcmp(in.ptr + i - 4, "\r\n", 2) == 0)))
			end = i + 1;
	FUZZ_CHECK(r->end == (end > 0));
	FUZZ_CHECK(r->taken == (end ? end : in.len));
}

static void check_stored(const struct result *r)
{
	const struct message_content *c = &r->scan.content;
	const char *at = r->out.data;

	FUZZ_CHECK(c->length == r->out.len && c->header_length <= c->length);
	for (size_t i = 0; i < r->out.len; i++) {
		FUZZ_CHECK(at[i] != '\r' || (i + 1 < r->out.len && at[i + 1] == '\n'));
		FUZZ_CHECK(at[i] != '\n' || (i > 0 && at[i - 1] == '\r'));
	}
	if (r->end || !r->scan.dots)
		FUZZ_CHECK(r->out.len == 0 || at[r->out.len - 1] == '\n');
}

/* The first bytes: DATA or BDAT, sizes of the pieces.  The rest: content. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = { 0 }, pieces = { 0 };
	struct slice in;
	bool dots;

	if (size < 2)
		return 0;
	dots = data[0] & 1;
	in = slice_make(data + 2, size - 2);
	feed(&whole, in, dots, 0);
	feed(&pieces, in, dots, data[1] + 1u);
	FUZZ_CHECK(whole.end == pieces.end && whole.taken == pieces.taken);
	FUZZ_CHECK(slice_eq(str_slice(&whole.out), str_slice(&pieces.out)));
	FUZZ_CHECK(whole.scan.bare_lf == pieces.scan.bare_lf);
	FUZZ_CHECK(whole.scan.content.longest_line == pieces.scan.content.longest_line);
	FUZZ_CHECK(whole.scan.content.header_length == pieces.scan.content.header_length);
	FUZZ_CHECK(whole.scan.content.leading_dots == pieces.scan.content.leading_dots);
	FUZZ_CHECK(whole.scan.content.eight_bit == pieces.scan.content.eight_bit);
	if (dots)
		check_end(in, &whole);
	else
		FUZZ_CHECK(!whole.end);
	check_stored(&whole);
	str_free(&whole.out);
	str_free(&pieces.out);
	return 0;
}
