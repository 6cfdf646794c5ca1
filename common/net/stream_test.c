/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "common/net/stream.h"

static int ends[2];

static void make_ends(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

static void trickle(void *arg)
{
	const char *text = arg;

	for (; *text; text++) {
		assert_int_equal(write(ends[1], text, 1), 1);
		task_yield();
	}
	close(ends[1]);
}

static void lines(void *arg)
{
	struct stream *s = stream_of_fd(ends[0]);
	struct slice line;
	bool bare;

	stream_set_timeout(s, 5);
	assert_int_equal(stream_read_line(s, 10, &line, &bare), STREAM_OK);
	assert_true(slice_eq(line, SLICE("one")));
	assert_false(bare);
	assert_int_equal(stream_read_line(s, 10, &line, &bare), STREAM_OK);
	assert_true(slice_eq(line, SLICE("two\rx")));
	assert_true(bare);
	assert_int_equal(stream_read_line(s, 4, &line, &bare), STREAM_TOO_LONG);
	assert_true(slice_eq(line, SLICE("long")));
	assert_int_equal(stream_skip_line(s, 100), STREAM_OK);
	assert_int_equal(stream_read_line(s, 4, &line, &bare), STREAM_OK);
	assert_true(slice_eq(line, SLICE("four")));
	assert_int_equal(stream_read_line(s, 4, &line, &bare), STREAM_EOF);
	stream_free(&s);
}

static void test_lines_byte_by_byte(void **state)
{
	struct task_group group = { 0 };

	make_ends();
	task_spawn(&group, lines, NULL);
	task_spawn(&group, trickle, (char[]){ "one\r\ntwo\rx\nlonger line\r\nfour\r\nrest" });
	task_group_run(&group);
}

#define BULK (3u * 1024 * 1024 + 17)

static void bulk_writer(void *arg)
{
	struct stream *s = stream_of_fd(ends[1]);
	char *data = arg;

	stream_set_timeout(s, 20);
	for (size_t at = 0; at < BULK; at += 1000)
		assert_int_equal(stream_write(s, slice_make(data + at, BULK - at < 1000 ? BULK - at : 1000)), STREAM_OK);
	assert_int_equal(stream_flush(s), STREAM_OK);
	stream_free(&s);
}

static void bulk_reader(void *arg)
{
	struct stream *s = stream_of_fd(ends[0]);
	const char *data = arg;
	struct slice got;
	size_t at = 0;

	stream_set_timeout(s, 20);
	while (stream_peek(s, &got) == STREAM_OK) {
		assert_true(at + got.len <= BULK);
		assert_memory_equal(got.ptr, data + at, got.len);
		at += got.len;
		stream_consume(s, got.len);
	}
	assert_int_equal(at, BULK);
	stream_free(&s);
}

static void test_bulk(void **state)
{
	struct task_group group = { 0 };
	char *data = malloc(BULK);

	for (size_t i = 0; i < BULK; i++)
		data[i] = (char)(i * 2654435761u >> 11);
	make_ends();
	task_spawn(&group, bulk_reader, data);
	task_spawn(&group, bulk_writer, data);
	task_group_run(&group);
	free(data);
}

static void slow(void *arg)
{
	struct stream *s = stream_of_fd(ends[0]);
	struct slice line;

	stream_set_timeout(s, 0.02);
	assert_int_equal(stream_read_line(s, 100, &line, NULL), STREAM_TIMEOUT);
	stream_free(&s);
}

static void test_timeout(void **state)
{
	struct task_group group = { 0 };

	make_ends();
	task_spawn(&group, slow, NULL);
	task_group_run(&group);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_byte_by_byte),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
