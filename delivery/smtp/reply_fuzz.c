/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "delivery/smtp/content.h"
#include "delivery/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as the lines of a reply, and as content for the transformer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make(data, size);
	struct smtp_reply reply = { 0 };
	struct arena *arena = arena_create(0);
	struct content_filter f = { .limit = size > 0 ? data[0] : 0, .dots = true };
	struct str out = { 0 };
	struct slice line;
	bool more = true;

	content_filter_put(&f, slice_sub(rest, 0, size / 2), &out);
	content_filter_put(&f, slice_sub(rest, size / 2, size), &out);
	content_filter_end(&f, &out);
	if (!content_is_clean(str_slice(&out)))
		abort();
	while (more) {
		more = slice_cut(&rest, '\n', &line);
		if (smtp_reply_line(&reply, line) != SMTP_REPLY_MORE) {
			(void)smtp_reply_text(&reply, 100, arena);
			smtp_reply_clear(&reply);
		}
	}
	smtp_reply_free(&reply);
	str_free(&out);
	arena_free(&arena);
	return 0;
}
