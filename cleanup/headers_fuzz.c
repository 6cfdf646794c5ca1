/* SPDX-License-Identifier: ISC */
#include "cleanup/headers.h"
#include "common/base/arena.h"
#include "tests/support/fuzz.h"

/*
 * The block is whole lines; with what is left of the content behind it, a header of fields that ends in
 * an empty line, or a whole content without a body.
 */
static void check(const struct headers_result *r, struct slice content)
{
	struct slice block = str_slice(&r->block), rest = content;
	struct header_field f;
	size_t fields = 0;

	if (r->complete)
		FUZZ_CHECK(r->header_length <= content.len);
	if (r->replaces)
		rest = slice_sub(content, (size_t)r->header_length, content.len);
	FUZZ_CHECK(block.len > 0 && block.ptr[block.len - 1] == '\n');
	while (header_next(&block, &f)) {
		FUZZ_CHECK(f.name.len > 0); /* no mbox line */
		FUZZ_CHECK(!header_is(&f, "Bcc"));
		fields++;
	}
	FUZZ_CHECK(fields > 0);
	/* Only the empty line may be left, and only when the header ends here. */
	FUZZ_CHECK(block.len == 0 || slice_eq(block, SLICE("\r\n")));
	if (r->replaces && rest.len > 0)
		FUZZ_CHECK(block.len == 2);
	FUZZ_CHECK(fuzz_printable(str_slice(&r->message_id)) && fuzz_printable(str_slice(&r->resent_message_id)));
}

/* Options, then a message's content as smtpd stores it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct slice drop[] = { { "bcc", 3 }, { "content-length", 14 } };
	struct headers_settings settings = { .hostname = "h", .origin = "o", .mail_name = "m",
					     .undisclosed = "To: undisclosed-recipients:;", .drop = drop,
					     .drop_count = 2 };
	struct message_recipient recipient = { .address = SLICE("a@b") };
	struct message_envelope e = { .sender = SLICE("s t@x"), .sender_full_name = SLICE("A. \"B\""),
				      .recipients = &recipient, .recipient_count = 1, .arrival = 1.7e9 };
	struct arena *arena = arena_create(0);
	struct headers_result result;
	struct slice content;

	if (size > 0) {
		e.origin = data[0] & 1 ? ORIGIN_LOCAL : ORIGIN_SMTP;
		settings.always_add_missing = data[0] & 2;
		content = slice_make(data + 1, size - 1);
		headers_build(&result, content, !(data[0] & 4), &e, "4abcdefz1", &settings, arena);
		check(&result, content);
		headers_free(&result);
	}
	arena_free(&arena);
	return 0;
}
