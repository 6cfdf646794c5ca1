/* SPDX-License-Identifier: ISC */
#include "common/mail/header.h"
#include "tests/support/fuzz.h"

/* What a network's texts may not do to a field: end it. */
static void check_received(struct slice text)
{
	struct message_envelope e = { .origin = ORIGIN_SMTP, .helo = text, .client_name = text, .client_address = text,
				      .protocol = text, .arrival = 1.8e9 };
	struct header_field f;
	struct str out = { 0 };
	struct slice block;

	header_received(&out, &e, "4abcdefz1", "host.example.com", "Postrider", text);
	block = str_slice(&out);
	FUZZ_CHECK(header_next(&block, &f) && header_is(&f, "Received") && block.len == 0);
	for (size_t i = 0; i < out.len; i++)
		FUZZ_CHECK(out.data[i] != '\n' || (i > 0 && out.data[i - 1] == '\r'));
	str_clear(&out);
	header_phrase(&out, text);
	FUZZ_CHECK(fuzz_printable(str_slice(&out)));
	str_free(&out);
}

/* The input as a header block, and as text from a network. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice block = slice_make(data, size);
	struct header_field f;
	struct str out = { 0 };
	size_t taken = 0;

	while (header_next(&block, &f)) {
		FUZZ_CHECK(f.whole.len > 0 && f.whole.ptr == (const char *)data + taken);
		taken += f.whole.len;
		FUZZ_CHECK(block.len == size - taken);
		FUZZ_CHECK(fuzz_inside(f.name, f.whole.ptr, f.whole.len) && fuzz_printable(f.name));
		FUZZ_CHECK(fuzz_inside(f.value, f.whole.ptr, f.whole.len));
		str_clear(&out);
		header_unfold(&out, f.value);
		FUZZ_CHECK(fuzz_printable(str_slice(&out)));
	}
	str_free(&out);
	check_received(slice_make(data, size));
	return 0;
}
