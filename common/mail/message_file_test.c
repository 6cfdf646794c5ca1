/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/mail/message_codec.h"

#define HEADER SLICE("Received: by here\r\n\tid 1\r\n")

static const char content[] = "Subject: x\r\n\r\nbody\r\n";

static struct message_recipient sample_recipients[3];

static struct message_envelope sample(void)
{
	sample_recipients[0] = (struct message_recipient){ .address = SLICE("a@example.com"), .notify = NOTIFY_NEVER };
	sample_recipients[1] = (struct message_recipient){ .address = SLICE("b@example.com"),
		.original = SLICE("bob@example.com"), .orcpt = SLICE("rfc822;bob@example.com") };
	sample_recipients[2] = (struct message_recipient){ .address = SLICE("c@example.com") };
	return (struct message_envelope){
		.origin = ORIGIN_SMTP, .sender = SLICE("s@example.org"), .uid = 1000, .client_name = SLICE("unknown"),
		.client_address = SLICE("192.0.2.1"), .helo = SLICE("he.lo"), .protocol = SLICE("ESMTP"),
		.ret = RET_HDRS, .smtputf8 = true, .arrival = 1700000000.25, .recipients = sample_recipients,
		.recipient_count = 3 };
}

static int sample_file(struct message_layout *layout)
{
	struct message_envelope envelope = sample();
	struct err err = { 0 };
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, content, sizeof(content) - 1, MESSAGE_CONTENT_OFFSET), sizeof(content) - 1);
	*layout = (struct message_layout){ .state = MESSAGE_COMMITTED, .id = "4jYlQK4HC9z4000KD",
		.content = { .length = sizeof(content) - 1, .header_length = 14, .longest_line = 10, .eight_bit = true } };
	assert_true(message_write(fd, &envelope, layout, HEADER, &err));
	return fd;
}

static void round_trip(void **state)
{
	struct arena *arena = arena_create(0);
	struct message_layout layout, read;
	struct message_envelope e;
	struct slice header;
	struct err err;
	int fd = sample_file(&layout);

	assert_true(message_read_layout(fd, &read, &err));
	assert_int_equal(read.state, MESSAGE_COMMITTED);
	assert_int_equal(read.content.length, sizeof(content) - 1);
	assert_int_equal(read.content.header_length, 14);
	assert_true(read.content.eight_bit);
	assert_false(read.content.leading_dots);
	assert_true(message_read_envelope(fd, &read, arena, &e, &err));
	assert_int_equal(e.origin, ORIGIN_SMTP);
	assert_true(slice_eq(e.sender, SLICE("s@example.org")));
	assert_true(slice_eq(e.helo, SLICE("he.lo")));
	assert_int_equal(e.ret, RET_HDRS);
	assert_true(e.smtputf8);
	assert_false(e.body_8bitmime);
	assert_true(e.arrival == 1700000000.25);
	assert_int_equal(e.recipient_count, 3);
	assert_int_equal(e.recipients[0].notify, NOTIFY_NEVER);
	assert_true(slice_eq(e.recipients[1].original, SLICE("bob@example.com")));
	assert_true(slice_eq(e.recipients[1].orcpt, SLICE("rfc822;bob@example.com")));
	assert_int_equal(e.recipients[2].status, RECIPIENT_PENDING);
	assert_true(message_read_new_header(fd, &read, arena, &header, &err));
	assert_true(slice_eq(header, HEADER));
	arena_free(&arena);
	close(fd);
}

static void status_and_state(void **state)
{
	struct arena *arena = arena_create(0);
	struct message_layout layout;
	struct message_envelope e;
	struct err err;
	int fd = sample_file(&layout);

	assert_true(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_true(message_set_status(fd, &e.recipients[1], RECIPIENT_DELIVERED, &err));
	assert_true(message_set_status(fd, &e.recipients[2], RECIPIENT_RETURNED, &err));
	assert_true(message_set_state(fd, &layout, MESSAGE_HOLD, &err));
	assert_true(message_read_layout(fd, &layout, &err));
	assert_int_equal(layout.state, MESSAGE_HOLD);
	assert_true(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_int_equal(e.recipients[0].status, RECIPIENT_PENDING);
	assert_int_equal(e.recipients[1].status, RECIPIENT_DELIVERED);
	assert_int_equal(e.recipients[2].status, RECIPIENT_RETURNED);
	assert_false(message_set_status(fd, &sample_recipients[0], RECIPIENT_DELIVERED, &err));
	arena_free(&arena);
	close(fd);
}

static void results(void **state)
{
	struct arena *arena = arena_create(0);
	struct message_layout layout;
	struct message_result *all, one = { .recipient = 2, .time = 10, .dsn = SLICE("4.4.1"), .text = SLICE("first") };
	struct err err;
	char *large = mem_alloc(5000);
	int fd = sample_file(&layout);

	memset(large, 'x', 5000);
	assert_true(message_append_result(fd, &one, &err));
	/* Many records: more than one window of the reader. */
	one.remote = slice_make(large, 5000);
	for (int i = 0; i < 40; i++) {
		one.recipient = (uint32_t)(i % 2);
		one.time = i + 1;
		assert_true(message_append_result(fd, &one, &err));
	}
	one = (struct message_result){ .recipient = 2, .time = 99, .text = SLICE("last"), .relay = SLICE("none") };
	assert_true(message_append_result(fd, &one, &err));
	one.recipient = 77; /* there is no such recipient */
	assert_true(message_append_result(fd, &one, &err));
	assert_true(lseek(fd, 0, SEEK_END) > 0);
	assert_int_equal(write(fd, "PRr1\x40\0\0\0torn", 12), 12);
	assert_true(message_read_results(fd, &layout, 3, arena, &all, &err));
	assert_true(all[0].time == 39 && all[1].time == 40 && all[2].time == 99);
	assert_int_equal(all[0].remote.len, 4096);
	assert_true(slice_eq(all[2].text, SLICE("last")));
	free(large);
	arena_free(&arena);
	close(fd);
}

static void damage(void **state)
{
	struct message_layout layout, read;
	struct message_envelope e;
	struct slice header;
	struct err err;
	int fd = memfd_create("empty", MFD_CLOEXEC);

	assert_false(message_read_layout(fd, &read, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(pwrite(fd, content, sizeof(content), MESSAGE_CONTENT_OFFSET), sizeof(content));
	assert_false(message_read_layout(fd, &read, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	close(fd);
	/* Each byte of header, envelope and header block, status bytes aside, is protected. */
	fd = sample_file(&layout);
	for (uint64_t at = 0; at < layout.results_offset; at++) {
		struct arena *arena = arena_create(0);
		char byte, changed;

		if (at == 128)
			at = layout.envelope_offset;
		if (at == layout.envelope_offset + 8)
			at += 3;
		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		changed = (char)(byte ^ 0x10);
		assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
		assert_false(message_read_layout(fd, &read, &err) &&
			     message_read_envelope(fd, &read, arena, &e, &err) &&
			     message_read_new_header(fd, &read, arena, &header, &err));
		assert_int_equal(err.code, ERR_SYNTAX);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		arena_free(&arena);
	}
	assert_true(message_read_layout(fd, &read, &err));
	assert_int_equal(ftruncate(fd, (off_t)layout.results_offset - 1), 0);
	assert_false(message_read_layout(fd, &read, &err));
	assert_int_equal(err.code, ERR_SYNTAX);
	close(fd);
}

static void hostile(void **state)
{
	struct message_layout layout = { .envelope_offset = UINT64_MAX - 3, .envelope_length = 64 };
	struct message_envelope e;
	struct message_result *all;
	struct slice header;
	struct arena *arena = arena_create(0);
	struct err err;
	int fd = memfd_create("hostile", MFD_CLOEXEC);
	/* A count of recipients far beyond the block. */
	char block[64] = { 0, 0, 0, 0, (char)0xff, (char)0xff, (char)0xff, (char)0xff };

	assert_false(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_int_equal(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	layout = (struct message_layout){ .envelope_length = sizeof(block), .header_length = UINT64_MAX - 2 };
	assert_false(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_int_equal(err.code, ERR_SYNTAX);
	assert_false(message_read_new_header(fd, &layout, arena, &header, &err));
	layout.envelope_length = UINT64_MAX;
	assert_false(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_true(message_read_results(fd, &layout, 2, arena, &all, &err));
	assert_true(all[0].time == 0);
	arena_free(&arena);
	close(fd);
}

/* Random damage to an encoded envelope never reads outside (the sanitizer watches). */
static void mutated(void **state)
{
	struct message_envelope e = sample(), read;
	struct message_recipient r;
	struct str good = { 0 };
	size_t accepted = 0;

	srand(1);
	assert_true(message_envelope_encode(&good, &e));
	assert_true(message_recipient_encode(&good, &e.recipients[1]));
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)rand() % (good.len + 1);
		char *copy = mem_alloc(len + 1);

		memcpy(copy, good.data, len);
		if (len > 0)
			copy[(size_t)rand() % len] ^= (char)(1 << rand() % 8);
		struct cursor c = cursor_make(copy, len);

		if (message_envelope_decode(&c, NULL, &read) && message_recipient_decode(&c, NULL, &r))
			accepted++;
		free(copy);
	}
	assert_true(accepted < 20000);
	e.sender = slice_make(content, MESSAGE_TEXT_MAX + 1);
	assert_false(message_envelope_encode(&good, &e));
	str_free(&good);
}

static void full_disk(void **state)
{
	struct message_layout layout = { .state = MESSAGE_COMMITTED, .id = "4jYlQK4HC9z4000KD" };
	struct message_envelope e = sample();
	struct err err;
	int fd = memfd_create("full", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(close(fd), 0);
	fd = open("/dev/full", 1);
	assert_true(fd >= 0);
	assert_false(message_write(fd, &e, &layout, HEADER, &err));
	assert_int_equal(err.code, ERR_NO_SPACE);
	close(fd);
}

static void ids(void **state)
{
	char a[MESSAGE_ID_SIZE], b[MESSAGE_ID_SIZE];
	double now = (double)time(NULL);

	message_id_make(a, "4000KD");
	for (int i = 0; i < 10000; i++) {
		message_id_make(b, "4000KD");
		assert_true(message_id_valid(slice_of(b)));
		assert_true(strcmp(a, b) < 0);
		memcpy(a, b, sizeof(a));
	}
	assert_true(message_id_time(slice_of(b)) >= now - 1 && message_id_time(slice_of(b)) < now + 3);
	assert_string_equal(message_id_name(b), "4000KD");
	assert_string_equal(message_id_name("3F2A91B0C4"), "3F2A91B0C4");
	assert_true(message_id_time(SLICE("3F2A91B0C4")) == 0);
	assert_true(message_id_valid(SLICE("3F2A91B0C4")));
	assert_false(message_id_valid(SLICE("../../etc/passwd")));
	assert_false(message_id_valid(SLICE("")));
	assert_false(message_id_valid(SLICE("ABCDE\0F")));
	assert_false(message_id_valid(SLICE("0123456789012345678901234567890123456789")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(status_and_state), cmocka_unit_test(results),
		cmocka_unit_test(damage), cmocka_unit_test(hostile), cmocka_unit_test(mutated),
		cmocka_unit_test(full_disk), cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
