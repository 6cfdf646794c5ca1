/* SPDX-License-Identifier: ISC */
/* A message out of the input; its keys are what follows a line "KEY". */
#include "authn/dkim.h"
#include "tests/support/fuzz.h"

static void query(void *context, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer)
{
	struct slice *record = context;

	FUZZ_CHECK(type == DNS_TXT && authn_domain_valid(name));
	*answer = (struct dns_answer){.status = record->len ? DNS_OK : DNS_TEMPORARY,
				      .count = record->len ? 1 : 0};
	answer->records = arena_alloc(arena, sizeof(*answer->records));
	answer->records[0] = (struct dns_record){.type = type, .data = *record};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), record = SLICE_NONE;
	const char *key = size ? memmem(data, size, "KEY\r\n", 5) : NULL;
	struct authn_dns dns = {query, &record};
	struct canon_bodies *bodies = canon_bodies_create();
	struct arena *arena = arena_create(0);
	struct canon_header header;
	struct dkim_message m;

	if (key) {
		record = slice_sub(text, (size_t)(key - text.ptr) + 5, size);
		text.len = (size_t)(key - text.ptr);
	}
	canon_header_read(text, arena, &header);
	dkim_prepare(&m, &header, bodies, 5, arena);
	for (size_t at = 0; at < text.len; at += 7)
		canon_bodies_feed(bodies, slice_sub(text, at, 7));
	canon_bodies_finish(bodies);
	dkim_finish(&m, &dns, 1700000000);
	for (size_t i = 0; i < m.count; i++)
		FUZZ_CHECK(m.signature[i].result == DKIM_PASS || m.signature[i].reason);
	canon_bodies_free(&bodies);
	arena_free(&arena);
	return 0;
}
