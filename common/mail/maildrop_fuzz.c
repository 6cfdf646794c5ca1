/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/mail/maildrop.h"
#include "tests/support/fuzz.h"

static int in = -1, out = -1;

static void check_envelope(const struct message_envelope *e)
{
	struct str encoded = { 0 };

	FUZZ_CHECK(fuzz_printable(e->sender) && fuzz_printable(e->sender_full_name) && fuzz_printable(e->envid));
	FUZZ_CHECK(e->recipient_count > 0);
	for (size_t i = 0; i < e->recipient_count; i++)
		FUZZ_CHECK(e->recipients[i].address.len > 0 && fuzz_printable(e->recipients[i].address));
	/* Lines at the limit may be taken that would not be written. */
	(void)maildrop_encode(&encoded, e);
	str_free(&encoded);
}

/* What is stored is lines that end in CRLF, and what is said of them is true. */
static void check_stored(const struct message_content *c)
{
	static char stored[1 << 20];
	bool dots = false, eight = false, line_start = true;

	FUZZ_CHECK(c->length <= sizeof(stored) && c->header_length <= c->length);
	FUZZ_CHECK(pread(out, stored, sizeof(stored), MESSAGE_CONTENT_OFFSET) == (ssize_t)c->length);
	for (size_t i = 0; i < c->length; i++) {
		FUZZ_CHECK(stored[i] != '\r' || (i + 1 < c->length && stored[i + 1] == '\n'));
		FUZZ_CHECK(stored[i] != '\n' || (i > 0 && stored[i - 1] == '\r'));
		dots |= line_start && stored[i] == '.';
		eight |= stored[i] & 0x80;
		line_start = stored[i] == '\n';
	}
	FUZZ_CHECK(line_start && dots == c->leading_dots && eight == c->eight_bit);
}

/* The input as a file in maildrop/. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct message_envelope envelope;
	struct message_content content;
	struct err err = { 0 };
	uint64_t offset;

	if (in < 0) {
		in = memfd_create("in", MFD_CLOEXEC);
		out = memfd_create("out", MFD_CLOEXEC);
	}
	FUZZ_CHECK(ftruncate(in, 0) == 0 && ftruncate(out, 0) == 0);
	FUZZ_CHECK(pwrite(in, data, size, 0) == (ssize_t)size);
	if (maildrop_read(in, arena, &envelope, &offset, &err)) {
		FUZZ_CHECK(offset <= size);
		check_envelope(&envelope);
	} else {
		FUZZ_CHECK(err.code == ERR_SYNTAX || err.code == ERR_LIMIT);
		offset = 0;
	}
	if (size < 300000) {
		FUZZ_CHECK(maildrop_copy(in, offset, out, 0, &content, &err));
		check_stored(&content);
	}
	if (!maildrop_copy(in, offset, out, 100, &content, &err))
		FUZZ_CHECK(err.code == ERR_LIMIT && content.length <= 100);
	arena_free(&arena);
	return 0;
}
