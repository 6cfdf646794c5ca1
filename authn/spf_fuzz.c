/* SPDX-License-Identifier: ISC */
/* SPF with records out of the input: lines are TXT records in turn, the last one is the sender. */
#include "authn/spf_record.h"
#include "tests/support/fuzz.h"

struct input {
	struct slice rest;
	unsigned questions;
};

static void query(void *context, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer)
{
	struct input *input = context;
	struct slice line;

	FUZZ_CHECK(authn_domain_valid(name));
	/* 10 terms of 11 questions, records, PTR and its names, an explanation. */
	FUZZ_CHECK(++input->questions < 200);
	*answer = (struct dns_answer){.status = DNS_NODATA};
	if (!slice_cut(&input->rest, '\n', &line))
		return;
	if (line.len > 0 && line.ptr[0] == '!') {
		answer->status = DNS_TEMPORARY;
		return;
	}
	answer->status = DNS_OK;
	answer->count = line.len % 13 + 1;
	if (type == DNS_TXT)
		answer->count = 1;
	answer->records = arena_alloc(arena, answer->count * sizeof(*answer->records));
	for (size_t i = 0; i < answer->count; i++) {
		answer->records[i] = (struct dns_record){.type = type, .name = line, .data = line};
		if (type == DNS_A)
			answer->records[i].data = slice_make("\xc0\x00\x02\x01", 4);
		else if (type == DNS_AAAA)
			answer->records[i].data =
			    slice_make("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_make(data, size), 0};
	struct authn_dns dns = {query, &input};
	ptrdiff_t last = slice_rfind(input.rest, '\n');
	struct spf_request request = {.address =
					  size % 2 ? SLICE("192.0.2.9") : SLICE("2001:db8::9"),
				      .helo = SLICE("mail.test"),
				      .sender = slice_sub(input.rest, (size_t)(last + 1), size),
				      .dns = &dns};
	struct arena *arena = arena_create(0);
	struct spf_answer answer;

	spf_check(&request, arena, &answer);
	FUZZ_CHECK(answer.result <= SPF_PERMERROR && answer.lookups <= SPF_LOOKUPS_MAX + 1);
	FUZZ_CHECK(answer.explanation.len <= 1024);
	arena_free(&arena);
	return 0;
}
