/* SPDX-License-Identifier: ISC */
#include "common/base/str.h"
#include "tests/support/fuzz.h"
#include "tools/lib/queue_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct queue_recipient recipient = { "to@far.test", "said: 450 4.7.1 later", 2 };
	static const struct queue_entry entry = { "4az1", "deferred", "from@here.test", "c[192.0.2.1]", "", 100, 2000, 400, &recipient, 1 };
	char *text = mem_slicedup(slice_make((const char *)data, size < 500 ? size : 500));
	struct err err = { 0 };
	struct queue_filter *filter;

	/* A pattern is the C library's affair, and costs whoever types it. */
	for (char *c = text; *c; c++)
		*c = *c == '~' ? '=' : *c;
	filter = queue_filter_parse(text, &err);
	if (filter)
		(void)queue_filter_matches(filter, &entry, 1000);
	FUZZ_CHECK(filter || err.text[0]);
	queue_filter_free(&filter);
	free(text);
	return 0;
}
