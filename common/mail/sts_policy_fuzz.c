/* SPDX-License-Identifier: ISC */
/* A TXT record and a policy of MTA-STS: what is taken lies in the text and can be printed. */
#include "common/mail/sts_policy.h"

#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), id;
	struct sts_policy p;
	struct err err;

	if (sts_record_parse(text, &id))
		FUZZ_CHECK(fuzz_inside(id, data, size) && id.len > 0 && id.len <= STS_ID_MAX && fuzz_printable(id));
	if (!sts_policy_parse(text, &p, &err))
		return 0;
	FUZZ_CHECK(p.mode <= STS_ENFORCE && p.max_age <= STS_AGE_MAX && (p.mode == STS_NONE || p.mx_count > 0));
	for (size_t i = 0; i < p.mx_count; i++) {
		FUZZ_CHECK(fuzz_inside(p.mx[i], data, size) && fuzz_printable(p.mx[i]));
		(void)sts_pattern_has(p.mx[i], text);
	}
	return 0;
}
