/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mail/maildrop.h"

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("drop", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static void round_trip(void **state)
{
	struct message_recipient recipients[2] = { { .address = SLICE("a@b"), .notify = NOTIFY_FAILURE },
						   { .address = SLICE("root") } };
	struct message_envelope e = { .sender = SLICE("me"), .sender_full_name = SLICE("J. Doe"), .ret = RET_HDRS,
		.envid = SLICE("xyz"), .body_8bitmime = true, .recipients = recipients, .recipient_count = 2 }, got;
	struct arena *arena = arena_create(0);
	struct str out = { 0 };
	struct err err;
	uint64_t content;

	assert_true(maildrop_encode(&out, &e));
	size_t head = out.len;

	str_append_text(&out, "Subject: x\n");
	int fd = file_of(out.data, out.len);

	assert_true(maildrop_read(fd, arena, &got, &content, &err));
	assert_int_equal(content, head);
	assert_true(slice_eq(got.sender, SLICE("me")) && slice_eq(got.sender_full_name, SLICE("J. Doe")));
	assert_true(got.ret == RET_HDRS && got.body_8bitmime && slice_eq(got.envid, SLICE("xyz")));
	assert_int_equal(got.recipient_count, 2);
	assert_int_equal(got.recipients[0].notify, NOTIFY_FAILURE);
	assert_int_equal(got.recipients[1].notify, 0);
	assert_true(slice_eq(got.recipients[1].address, SLICE("root")));
	assert_int_equal(got.origin, ORIGIN_LOCAL);
	close(fd);
	recipients[0].address = SLICE("a\nRevil@b");
	assert_false(maildrop_encode(&out, &e));
	str_free(&out);
	arena_free(&arena);
}

static void malformed(void **state)
{
	static const char *const files[] = { "", "PRm1", "PRm1\n", "PRm1\nSme\nRa\n", "PRm1\nSme\n\nx", "PRm1\nRa\n\nx",
		"PRm2\nSme\nRa\n\n", "PRm1\nSme\nR\n\n", "PRm1\nSme\nRa\001b\n\n", "PRm1\nSme\nRa\nXy\n\n",
		"PRm1\nSme\nN16\nRa\n\n", "PRm1\nSme\nNx\nRa\n\n" };
	struct arena *arena = arena_create(0);
	struct message_envelope e;
	struct err err;
	uint64_t content;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = file_of(files[i], strlen(files[i]));

		assert_false(maildrop_read(fd, arena, &e, &content, &err));
		assert_int_equal(err.code, ERR_SYNTAX);
		close(fd);
	}
	char *large = mem_alloc(20000);

	memcpy(large, "PRm1\nS", 6);
	memset(large + 6, 'x', 19994);
	int fd = file_of(large, 20000);

	assert_false(maildrop_read(fd, arena, &e, &content, &err));
	assert_int_equal(err.code, ERR_LIMIT);
	close(fd);
	free(large);
	arena_free(&arena);
}

static void expect_copy(const char *in, const char *expected, uint64_t header, uint32_t longest)
{
	struct message_content content;
	struct err err;
	char buffer[256] = "";
	int from = file_of(in, strlen(in)), to = memfd_create("out", MFD_CLOEXEC);

	assert_true(maildrop_copy(from, 0, to, 0, &content, &err));
	assert_int_equal(content.length, strlen(expected));
	assert_int_equal(pread(to, buffer, sizeof(buffer) - 1, MESSAGE_CONTENT_OFFSET), strlen(expected));
	assert_string_equal(buffer, expected);
	assert_int_equal(content.header_length, header);
	assert_int_equal(content.longest_line, longest);
	assert_int_equal(content.leading_dots, strstr(in, "\n.") != NULL);
	assert_int_equal(content.eight_bit, strchr(in, '\xc3') != NULL);
	close(from);
	close(to);
}

static void contents(void **state)
{
	struct message_content content;
	struct err err;

	expect_copy("A: b\n\nhello\n", "A: b\r\n\r\nhello\r\n", 8, 5);
	expect_copy("A: b\r\n\r\nhello", "A: b\r\n\r\nhello\r\n", 8, 5);
	expect_copy("A: b\n", "A: b\r\n", 6, 4);
	expect_copy("", "", 0, 0);
	expect_copy("\n\n.x\n", "\r\n\r\n.x\r\n", 2, 2);
	expect_copy("a\rb\r\r\n\rc\r", "a b \r\n c \r\n", 11, 4);
	expect_copy("A: \xc3\xa4\n\n", "A: \xc3\xa4\r\n\r\n", 9, 5);
	/* Many buffers, and the limit. */
	size_t len = 300000;
	char *large = mem_alloc(len);

	memset(large, 'x', len);
	int from = file_of(large, len), to = memfd_create("out", MFD_CLOEXEC);

	assert_true(maildrop_copy(from, 0, to, len + 2, &content, &err));
	assert_int_equal(content.length, len + 2);
	assert_int_equal(content.longest_line, len);
	assert_int_equal(lseek(to, 0, SEEK_END), MESSAGE_CONTENT_OFFSET + len + 2);
	assert_false(maildrop_copy(from, 0, to, len + 1, &content, &err));
	assert_int_equal(err.code, ERR_LIMIT);
	close(from);
	close(to);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(malformed), cmocka_unit_test(contents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
