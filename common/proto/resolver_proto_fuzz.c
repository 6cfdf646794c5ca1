/* SPDX-License-Identifier: ISC */
#include "common/proto/resolver_proto.h"
#include "tests/support/fuzz.h"

static void check_answer(const struct dns_answer *answer, struct arena *arena)
{
	struct ipc_in in = { .type = RESOLVER_ANSWER };
	struct dns_answer again;
	struct ipc_out out;
	struct err err;

	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *r = &answer->records[i];

		FUZZ_CHECK(r->type != DNS_A || r->data.len == 4);
		FUZZ_CHECK(r->type != DNS_AAAA || r->data.len == 16);
	}
	FUZZ_CHECK(answer->status <= DNS_INVALID);
	if (!resolver_put_answer(&out, 1, answer))
		return;
	in.data = out.data;
	in.len = out.len;
	FUZZ_CHECK(resolver_get_answer(&in, arena, &again, &err));
	FUZZ_CHECK(again.status == answer->status && again.count <= answer->count);
}

/* The input as an answer, and as a query. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size, .type = RESOLVER_ANSWER };
	struct dns_answer answer;
	enum dns_type type;
	struct arena *arena;
	struct slice name;
	struct err err;

	if (size > IPC_MAX || !ipc_valid(data, size))
		return 0;
	arena = arena_create(0);
	if (resolver_get_answer(&in, arena, &answer, &err))
		check_answer(&answer, arena);
	if (resolver_get_query(&in, &name, &type))
		FUZZ_CHECK(fuzz_inside(name, data, size) && dns_type_text(type)[0] != '?');
	arena_free(&arena);
	return 0;
}
