/* SPDX-License-Identifier: ISC */
/* First line: the DMARC record of every domain.  The rest: a header. */
#include "authn/dmarc.h"
#include "tests/support/fuzz.h"

static void query(void *context, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer)
{
	struct slice *record = context;

	FUZZ_CHECK(authn_domain_valid(name));
	*answer = (struct dns_answer){.status = record->len % 7 ? DNS_OK : DNS_TEMPORARY,
				      .count = record->len % 7 ? 1 : 0};
	answer->records = arena_alloc(arena, sizeof(*answer->records));
	answer->records[0] = (struct dns_record){.type = type, .data = *record};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make(data, size), record;
	struct authn_dns dns = {query, &record};
	struct arena *arena = arena_create(0);
	struct canon_header header;
	struct author author;
	struct dmarc_input in = {.author = &author,
				 .spf = SPF_PASS,
				 .spf_domain = SLICE("a.example.com"),
				 .dns = &dns,
				 .tree_walk = size % 2,
				 .sample = (unsigned)size % 100};
	struct dmarc_answer answer;

	slice_cut(&rest, '\n', &record);
	canon_header_read(rest, arena, &header);
	author_read(&header, arena, &author);
	FUZZ_CHECK((author.count == 0) == (author.fault != NULL));
	for (size_t i = 0; i < author.count; i++)
		FUZZ_CHECK(authn_domain_full(author.domain[i]) && fuzz_printable(author.domain[i]));
	dmarc_check(&in, arena, &answer);
	FUZZ_CHECK(answer.reason && answer.disposition <= answer.policy);
	FUZZ_CHECK(answer.result == DMARC_FAIL || answer.disposition == DMARC_POLICY_NONE);
	arena_free(&arena);
	return 0;
}
