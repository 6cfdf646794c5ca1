/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/proto/delivery_proto.h"

/* What was built, as it arrives; the memory is exactly as long, for the sanitizer. */
static struct ipc_in arrive(const struct ipc_out *out)
{
	struct ipc_in in = { .type = out->data[0], .len = out->len };
	uint8_t *copy = mem_alloc(out->len);

	memcpy(copy, out->data, out->len);
	in.request = copy[2] | (uint32_t)copy[3] << 8;
	in.data = copy;
	in.fd_count = out->fd_count;
	for (int i = 0; i < out->fd_count; i++)
		in.fds[i] = dup(out->fds[i]);
	return in;
}

static void leave(struct ipc_in *in)
{
	for (int i = 0; i < in->fd_count; i++)
		if (in->fds[i] >= 0)
			close(in->fds[i]);
	free((void *)in->data);
}

static struct delivery_job sample_job(struct message_recipient *recipients, uint32_t *index, size_t count)
{
	struct delivery_job job = { .id = 7, .queue_id = SLICE("4abcDz1"), .nexthop = SLICE("[127.0.0.1]:2525"),
				    .fd = 0, .index = index, .queued = 12.5 };

	job.layout = (struct message_layout){ .state = MESSAGE_COMMITTED, .replaces_header = true,
		.content = { .length = 100, .header_length = 50 }, .envelope_offset = 4196, .envelope_length = 10,
		.header_offset = 4206, .header_length = 20, .results_offset = 4230 };
	job.envelope = (struct message_envelope){ .origin = ORIGIN_LOCAL, .sender = SLICE("me@example.com"),
		.recipients = recipients, .recipient_count = count };
	return job;
}

static void job_round_trip(void **state)
{
	static struct message_recipient recipients[3000];
	static uint32_t index[3000];
	static char names[3000][40];
	struct arena *arena = arena_create(0);
	struct delivery_job job = sample_job(recipients, index, 3000), got;
	struct ipc_out m;
	struct err err;
	size_t next = 0, seen = 0, packets = 0;

	for (size_t i = 0; i < 3000; i++) {
		snprintf(names[i], sizeof(names[i]), "recipient-number-%zu@example.com", i);
		recipients[i] = (struct message_recipient){ .address = slice_of(names[i]) };
		index[i] = (uint32_t)(i * 2);
	}
	while (next < 3000) {
		assert_true(delivery_put_job(&m, &job, &next));
		struct ipc_in in = arrive(&m);

		assert_true(delivery_get_job(&in, arena, &got, &err));
		assert_int_equal(got.id, 7);
		assert_true(got.fd > 0);
		close(got.fd);
		assert_true(slice_eq(got.nexthop, SLICE("[127.0.0.1]:2525")));
		assert_true(slice_eq(got.envelope.sender, SLICE("me@example.com")));
		assert_true(got.layout.replaces_header && got.layout.header_offset == 4206);
		assert_true(got.queued == 12.5);
		for (size_t i = 0; i < got.envelope.recipient_count; i++, seen++) {
			assert_int_equal(got.index[i], seen * 2);
			assert_true(slice_eq(got.envelope.recipients[i].address, slice_of(names[seen])));
		}
		assert_int_equal(seen, next);
		leave(&in);
		packets++;
	}
	assert_true(packets >= 2);
	assert_false(delivery_put_job(&m, &job, &next)); /* nobody is left */
	arena_free(&arena);
}

static void job_hostile(void **state)
{
	struct message_recipient recipient = { .address = SLICE("a@b") };
	uint32_t index = 1;
	struct delivery_job job = sample_job(&recipient, &index, 1), got;
	struct arena *arena = arena_create(0);
	struct ipc_out m;
	struct err err;
	size_t next = 0;

	job.layout.envelope_offset = 1; /* not where the content ends */
	assert_true(delivery_put_job(&m, &job, &next));
	struct ipc_in in = arrive(&m);

	assert_false(delivery_get_job(&in, arena, &got, &err));
	assert_int_equal(err.code, ERR_SYNTAX);
	leave(&in);
	job = sample_job(&recipient, &index, 1);
	srand(2);
	for (int i = 0; i < 20000; i++) {
		next = 0;
		assert_true(delivery_put_job(&m, &job, &next));
		in = arrive(&m);
		((uint8_t *)in.data)[6 + (size_t)rand() % (in.len - 6)] ^= (uint8_t)(1 << rand() % 8);
		in.len -= i % 3 ? 0 : (size_t)rand() % in.len;
		if (ipc_valid(in.data, in.len) && delivery_get_job(&in, arena, &got, &err))
			close(got.fd);
		leave(&in);
		arena_reset(arena);
	}
	arena_free(&arena);
}

static void result_and_done(void **state)
{
	struct delivery_result r = { .index = 3, .outcome = DELIVERY_BOUNCED, .dsn = SLICE("5.1.1"),
				     .relay = SLICE("mx[1.2.3.4]:25"), .text = SLICE("host said no") }, got;
	struct ipc_out m;
	struct ipc_in in;
	struct err err;
	bool kept, dead;
	uint32_t slots;

	assert_true(delivery_put_result(&m, 9, &r));
	in = arrive(&m);
	assert_true(delivery_get_result(&in, &got, &err));
	assert_int_equal(in.request, 9);
	assert_int_equal(got.index, 3);
	assert_int_equal(got.outcome, DELIVERY_BOUNCED);
	assert_true(slice_eq(got.dsn, SLICE("5.1.1")) && slice_eq(got.text, SLICE("host said no")));
	assert_false(delivery_get_done(&in, &kept, &dead, &err));
	leave(&in);
	r.dsn = SLICE("2.0.0\r\n");
	assert_true(delivery_put_result(&m, 9, &r));
	in = arrive(&m);
	assert_true(delivery_get_result(&in, &got, &err));
	assert_true(slice_eq(got.dsn, SLICE("5.0.0")));
	leave(&in);
	r.outcome = 4;
	assert_true(delivery_put_result(&m, 9, &r));
	in = arrive(&m);
	assert_false(delivery_get_result(&in, &got, &err));
	leave(&in);
	assert_true(delivery_put_done(&m, 9, true, false));
	in = arrive(&m);
	assert_true(delivery_get_done(&in, &kept, &dead, &err));
	assert_true(kept && !dead);
	leave(&in);
	assert_true(delivery_put_ready(&m, 50));
	in = arrive(&m);
	assert_true(delivery_get_ready(&in, &slots, &err));
	assert_int_equal(slots, 50);
	leave(&in);
}

/* However much an agent sends, what goes into log and file is short. */
static void result_is_cut(void **state)
{
	static char text[20000];
	struct delivery_result got;
	struct ipc_out m;
	struct err err;

	memset(text, 'x', sizeof(text));
	ipc_out_start(&m, DELIVERY_RESULT, 1);
	ipc_put_u64(&m, DELIVERY_FIELD_INDEX, 0);
	ipc_put_u64(&m, DELIVERY_FIELD_OUTCOME, DELIVERY_DEFERRED);
	ipc_put_text(&m, DELIVERY_FIELD_DSN, "4.0.0");
	ipc_put_bytes(&m, DELIVERY_FIELD_RELAY, slice_make(text, sizeof(text)));
	ipc_put_bytes(&m, DELIVERY_FIELD_TEXT, slice_make(text, sizeof(text)));
	ipc_put_bytes(&m, DELIVERY_FIELD_REMOTE, slice_make(text, sizeof(text)));
	assert_false(m.failed);
	struct ipc_in in = arrive(&m);

	assert_true(delivery_get_result(&in, &got, &err));
	assert_int_equal(got.relay.len, 4096);
	assert_int_equal(got.text.len, 4096);
	assert_int_equal(got.remote.len, 4096);
	leave(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_round_trip), cmocka_unit_test(job_hostile), cmocka_unit_test(result_and_done),
		cmocka_unit_test(result_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
