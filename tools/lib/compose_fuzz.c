/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <unistd.h>

#include "common/mail/maildrop.h"
#include "tests/support/fuzz.h"
#include "tools/lib/compose.h"

/* Options, then what is piped into sendmail: what comes out is a file that pickup takes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char list[] = "a@x, \"b c\"@x";
	static char *const recipients[] = { list, NULL }, *const none[] = { NULL };
	struct compose_options options = { .login = "me", .full_name = "" };
	struct arena *arena = arena_create(0);
	struct message_envelope envelope;
	struct str out = { 0 };
	struct err err = { 0 };
	uint64_t content;
	FILE *input;

	if (size > 1) {
		options.extract = data[0] & 1;
		options.dot_is_text = data[0] & 2;
		options.recipients = data[0] & 4 ? none : recipients;
		options.size_limit = data[0] & 8 ? 64 : 0;
		input = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r");
		FUZZ_CHECK(input);
		if (compose_message(&options, input, &out, &err) == 0) {
			int fd = memfd_create("out", MFD_CLOEXEC);

			FUZZ_CHECK(write(fd, out.data, out.len) == (ssize_t)out.len);
			FUZZ_CHECK(maildrop_read(fd, arena, &envelope, &content, &err));
			FUZZ_CHECK(content <= out.len && envelope.recipient_count > 0);
			close(fd);
		} else {
			FUZZ_CHECK(err.text[0]);
		}
		fclose(input);
	}
	str_free(&out);
	arena_free(&arena);
	return 0;
}
