/* SPDX-License-Identifier: ISC */
#include "tests/support/fuzz.h"
#include "tools/lib/dmarc_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct str xml = { 0 };
	struct dmarc_report report;
	struct err err = { 0 };

	if (report_unpack(slice_make(data, size), &xml, &err) && report_parse(str_slice(&xml), arena, &report, &err)) {
		FUZZ_CHECK(report.domain.len > 0 && report.count <= REPORT_ROWS_MAX);
		for (size_t i = 0; i < report.count; i++)
			FUZZ_CHECK(report.row[i].count < (uint64_t)1 << 40);
	} else {
		FUZZ_CHECK(err.code != ERR_NONE);
	}
	str_free(&xml);
	arena_free(&arena);
	return 0;
}
