/* SPDX-License-Identifier: ISC */
#include "common/proto/delivery_proto.h"
#include "tests/support/fuzz.h"

#define ANY_FD 1000  /* never used, only handed on */

static void check_job(const struct delivery_job *job, struct arena *arena)
{
	struct ipc_in in = { .type = DELIVERY_JOB, .request = job->id, .fds = { ANY_FD }, .fd_count = 1 };
	const struct message_layout *l = &job->layout;
	struct delivery_job again;
	struct ipc_out out;
	struct err err;
	size_t next = 0;

	FUZZ_CHECK(job->fd == ANY_FD && job->envelope.recipient_count > 0 && message_id_valid(job->queue_id));
	FUZZ_CHECK(l->content.header_length <= l->content.length);
	FUZZ_CHECK(l->envelope_offset <= l->header_offset && l->header_offset <= l->results_offset);
	if (!delivery_put_job(&out, job, &next))
		return; /* fields given twice make it larger than a packet */
	in.data = out.data;
	in.len = out.len;
	FUZZ_CHECK(delivery_get_job(&in, arena, &again, &err));
	FUZZ_CHECK(again.envelope.recipient_count == next && slice_eq(again.nexthop, job->nexthop));
	for (size_t i = 0; i < next; i++) {
		FUZZ_CHECK(again.index[i] == job->index[i]);
		FUZZ_CHECK(slice_eq(again.envelope.recipients[i].address, job->envelope.recipients[i].address));
	}
}

static void check_result(const struct delivery_result *r)
{
	FUZZ_CHECK(r->outcome >= DELIVERY_SENT && r->outcome <= DELIVERY_BOUNCED);
	FUZZ_CHECK(r->dsn.len >= 5 && r->dsn.len <= 9 && r->dsn.ptr[0] == "?245"[r->outcome]);
}

/* The input as a packet, to every decoder. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = { .data = data, .len = size, .fds = { ANY_FD }, .fd_count = 1 };
	struct delivery_job job;
	struct delivery_result result;
	struct arena *arena;
	struct err err;
	uint32_t slots;
	bool kept, dead;

	if (size > IPC_MAX || !ipc_valid(data, size))
		return 0;
	arena = arena_create(0);
	in.type = DELIVERY_JOB;
	if (delivery_get_job(&in, arena, &job, &err))
		check_job(&job, arena);
	in.type = DELIVERY_RESULT;
	if (delivery_get_result(&in, &result, &err))
		check_result(&result);
	in.type = DELIVERY_READY;
	(void)delivery_get_ready(&in, &slots, &err);
	in.type = DELIVERY_DONE;
	(void)delivery_get_done(&in, &kept, &dead, &err);
	arena_free(&arena);
	return 0;
}
