/* SPDX-License-Identifier: ISC */
/* A header: which of its fields claim to be ours, and what they say; then our own field about it.
 */
#include "authn/results.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), rest = text;
	struct spf_answer spf = {.result = SPF_FAIL, .reason = text};
	struct dmarc_answer dmarc = {.result = DMARC_FAIL, .domain = text};
	struct results r = {
	    .authserv_id = "mx.example.com", .sender = text, .spf = &spf, .dmarc = &dmarc};
	struct str out = {0};
	struct header_field f;

	while (header_next(&rest, &f)) {
		(void)results_claims(&f, "mx.example.com");
		(void)results_say(f.value, "dmarc", "pass", "header.from", SLICE("a.test"));
	}
	results_field(&r, &out);
	rest = str_slice(&out);
	FUZZ_CHECK(header_next(&rest, &f) && rest.len == 0 && results_claims(&f, "mx.example.com"));
	FUZZ_CHECK(results_say(f.value, "spf", "fail", NULL, SLICE_NONE));
	FUZZ_CHECK(!results_say(f.value, "dmarc", "pass", NULL, SLICE_NONE));
	str_free(&out);
	return 0;
}
