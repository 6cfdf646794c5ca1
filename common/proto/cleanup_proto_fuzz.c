/* SPDX-License-Identifier: ISC */
#include "common/mail/message_codec.h"
#include "common/proto/cleanup_proto.h"
#include "tests/support/fuzz.h"

static void check_envelope(const struct message_envelope *e, struct arena *arena)
{
	struct message_envelope again;
	struct str encoded = { 0 };
	struct cursor c;

	FUZZ_CHECK(message_envelope_encode(&encoded, e));
	c = cursor_make(encoded.data, encoded.len);
	FUZZ_CHECK(message_envelope_decode(&c, arena, &again));
	FUZZ_CHECK(slice_eq(again.sender, e->sender) && slice_eq(again.helo, e->helo));
	FUZZ_CHECK(slice_eq(again.envid, e->envid) && again.origin == e->origin && again.uid == e->uid);
	FUZZ_CHECK(again.ret == e->ret && again.smtputf8 == e->smtputf8);
	str_free(&encoded);
}

/* The input as a COMMIT or RECIPIENTS packet of a client. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size };
	struct message_envelope envelope;
	struct message_content content;
	struct message_recipient recipient;
	struct str record = { 0 };
	struct arena *arena;
	struct err err;
	size_t pos = 0;

	if (size > IPC_MAX || !ipc_valid(data, size))
		return 0;
	arena = arena_create(0);
	if (cleanup_get_commit(&in, arena, &envelope, &content, &err)) {
		FUZZ_CHECK(content.header_length <= content.length);
		check_envelope(&envelope, arena);
	} else {
		FUZZ_CHECK(err.code == ERR_SYNTAX && fuzz_printable(slice_of(err.text)));
	}
	while (cleanup_get_recipient(&in, &pos, arena, &recipient) > 0) {
		FUZZ_CHECK(recipient.status == RECIPIENT_PENDING && recipient.notify <= 15);
		str_clear(&record);
		FUZZ_CHECK(message_recipient_encode(&record, &recipient));
	}
	str_free(&record);
	arena_free(&arena);
	return 0;
}
