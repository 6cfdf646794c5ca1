/* SPDX-License-Identifier: ISC */
#include <unistd.h>

#include "common/proto/cleanup_proto.h"
#include "common/proto/delivery_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a packet, to every decoder. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_create(0);
	struct ipc_in in = { .data = data, .len = size };
	struct message_envelope envelope;
	struct message_content content;
	struct message_recipient recipient;
	struct delivery_job job;
	struct delivery_result result;
	struct err err;
	uint32_t slots;
	bool a, b;
	size_t pos = 0;

	if (ipc_valid(data, size)) {
		in.type = DELIVERY_JOB;
		(void)delivery_get_job(&in, arena, &job, &err);
		in.type = DELIVERY_RESULT;
		(void)delivery_get_result(&in, &result, &err);
		in.type = DELIVERY_READY;
		(void)delivery_get_ready(&in, &slots, &err);
		in.type = DELIVERY_DONE;
		(void)delivery_get_done(&in, &a, &b, &err);
		(void)cleanup_get_commit(&in, arena, &envelope, &content, &err);
		while (cleanup_get_recipient(&in, &pos, arena, &recipient) > 0)
			;
	}
	arena_free(&arena);
	return 0;
}
