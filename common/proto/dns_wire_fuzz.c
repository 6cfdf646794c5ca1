/* SPDX-License-Identifier: ISC */
#include "common/proto/dns_wire.h"
#include "tests/support/fuzz.h"

static const enum dns_type types[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA };

static void check_record(const struct dns_record *r, enum dns_type type)
{
	FUZZ_CHECK(r->type == type);
	FUZZ_CHECK(type != DNS_A || r->data.len == 4);
	FUZZ_CHECK(type != DNS_AAAA || r->data.len == 16);
	FUZZ_CHECK(type != DNS_TLSA || r->data.len > 3);
	if (type == DNS_MX || type == DNS_PTR || type == DNS_NS || type == DNS_CNAME)
		FUZZ_CHECK(r->name.len > 0 && fuzz_printable(r->name));
}

/* The first byte: the type asked for.  The rest: a packet, which gets our ID and question in front. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t packet[65535];
	uint8_t query[WIRE_QUERY_MAX];
	enum dns_type type = types[size ? data[0] % 7 : 0];
	struct slice name = SLICE("mail.example.com");
	struct arena *arena = arena_create(0);
	struct dns_answer answer;
	uint32_t ttl;
	size_t len = wire_query(77, name, type, query), question = len - 12 - 11;

	FUZZ_CHECK(len > 0);
	if (size > 11 && size < 60000) {
		/* Header, the query's question, and what follows in the input. */
		memcpy(packet, data + 1, 12 - 2 < size - 1 ? 10 : size - 1);
		memmove(packet + 2, packet, 10);
		packet[0] = 0;
		packet[1] = 77;
		packet[2] |= 0x80;
		packet[4] = 0;
		packet[5] = 1;
		memcpy(packet + 12, query + 12, question);
		memcpy(packet + 12 + question, data + 11, size - 11);
		if (wire_answer(slice_make(packet, 12 + question + size - 11), 77, name, type, true, arena, &answer,
				&ttl) == WIRE_OK) {
			FUZZ_CHECK((answer.status == DNS_OK) == (answer.count > 0));
			for (size_t i = 0; i < answer.count; i++)
				check_record(&answer.records[i], type);
		}
	}
	(void)wire_answer(slice_make(data, size), 77, name, type, true, arena, &answer, &ttl);
	(void)wire_query(1, slice_make(data, size), type, query);
	arena_free(&arena);
	return 0;
}
