/* SPDX-License-Identifier: ISC */
#include "tests/support/fuzz.h"
#include "verify/record.h"

/* What is read is written the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	struct record record, again;
	struct str out = { 0 };

	if (record_parse(text, &record)) {
		record_format(&record, &out);
		FUZZ_CHECK(record_parse(str_slice(&out), &again));
		FUZZ_CHECK(again.result.status == record.result.status && strcmp(again.result.dsn, record.result.dsn) == 0);
	}
	str_free(&out);
	return 0;
}
