/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "delivery/smtp/reply.h"

#define REPEAT 200000

static const struct {
	const char *wire;
	enum stream_status status;
	int code;
	const char *dsn;
	const char *text;
} table[] = {
	{ "250 2.1.0 Ok\r\n", STREAM_OK, 250, "2.1.0", "250 2.1.0 Ok" },
	{ "250\r\n", STREAM_OK, 250, "2.0.0", "250" },
	{ "250 \n", STREAM_OK, 250, "2.0.0", "250 " },
	{ "550-5.1.1 no\r\n550 5.1.2 such user\r\n", STREAM_OK, 550, "5.1.2", "550-5.1.1 no 550 5.1.2 such user" },
	{ "550 4.1.1 class differs\r\n", STREAM_OK, 550, "5.0.0", "550 4.1.1 class differs" },
	{ "550 5.1.1x\r\n", STREAM_OK, 550, "5.0.0", "550 5.1.1x" },
	{ "550 5.1111.1 x\r\n", STREAM_OK, 550, "5.0.0", "550 5.1111.1 x" },
	{ "550 5.123.123\r\n", STREAM_OK, 550, "5.123.123", "550 5.123.123" },
	{ "550 5.\r\n", STREAM_OK, 550, "5.0.0", "550 5." },
	{ "421 a\tb\033[2J\001\r\n", STREAM_OK, 421, "4.0.0", "421 a b?[2J?" },
	{ "450 \xc3\xa9\xc3 \xff\r\n", STREAM_OK, 450, "4.0.0", "450 \xc3\xa9? ?" },
	{ "250-a\r\n550 b\r\n", STREAM_OK, 550, "5.0.0", "250-a 550 b" },
	{ "hello\r\n", STREAM_OK, 0, "", "hello" },
	{ "\r\n", STREAM_OK, 0, "", "" },
	{ "25\r\n", STREAM_OK, 0, "", "25" },
	{ "2500 x\r\n", STREAM_OK, 0, "", "2500 x" },
	{ "150 x\r\n", STREAM_OK, 0, "", "150 x" },
	{ "650 x\r\n", STREAM_OK, 0, "", "650 x" },
	{ "250-a\r\ngarbage\r\n", STREAM_OK, 0, "", "250-a garbage" },
	{ "250-a\r\n", STREAM_EOF, 250, "", "250-a" },
	{ "250 no end", STREAM_EOF, 0, "", "" },
	{ "", STREAM_EOF, 0, "", "" },
};

struct feed {
	const char *wire;
	size_t len;
	size_t times;
	int fd;
};

static void feed(void *arg)
{
	struct feed *f = arg;

	for (size_t i = 0; i < f->times; i++) {
		size_t done = 0;

		while (done < f->len) {
			ssize_t n = send(f->fd, f->wire + done, f->len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

			if (n > 0)
				done += (size_t)n;
			else if (task_wait_fd(f->fd, TASK_WRITE, loop_now() + 5) != TASK_READY)
				goto out;
			else if (send(f->fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				goto out;
		}
	}
out:
	close(f->fd);
}

struct reader {
	int fd;
	struct smtp_reply reply;
	enum stream_status status;
};

static void read_reply(void *arg)
{
	struct reader *r = arg;
	struct stream *s = stream_of_fd(r->fd);

	stream_set_timeout(s, 5);
	r->status = smtp_reply_read(&r->reply, s);
	stream_free(&s);
}

static void converse(struct feed *f, struct reader *r)
{
	struct task_group group = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	f->fd = ends[0];
	r->fd = ends[1];
	task_spawn(&group, feed, f);
	task_spawn(&group, read_reply, r);
	task_group_run(&group);
}

static void test_table(void **state)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct feed f = { .wire = table[i].wire, .len = strlen(table[i].wire), .times = 1 };
		struct reader r = { 0 };
		struct arena *arena = arena_create(0);

		converse(&f, &r);
		assert_int_equal(r.status, table[i].status);
		assert_int_equal(r.reply.code, table[i].code);
		assert_string_equal(r.reply.dsn, table[i].dsn);
		assert_string_equal(smtp_reply_text(&r.reply, 1000, arena).ptr, table[i].text);
		smtp_reply_free(&r.reply);
		arena_free(&arena);
	}
}

static void endless(const char *wire, int code)
{
	struct feed f = { .wire = wire, .len = strlen(wire), .times = REPEAT };
	struct reader r = { 0 };

	converse(&f, &r);
	assert_int_equal(r.status, STREAM_OK);
	assert_int_equal(r.reply.code, code);
	assert_true(r.reply.total <= 2 * SMTP_REPLY_TOTAL_MAX);
	assert_true(r.reply.text.len <= SMTP_REPLY_KEPT_MAX);
	smtp_reply_free(&r.reply);
}

static void test_endless_lines(void **state)
{
	endless("250-and on\r\n", 0);
}

static void test_endless_line(void **state)
{
	endless("250 and on ", 0);
}

static void test_long_line_is_cut(void **state)
{
	char wire[8000];
	struct feed f = { .wire = wire, .times = 1 };
	struct reader r = { 0 };

	memset(wire, 'x', sizeof(wire));
	memcpy(wire, "550-5.1.1 ", 10);
	memcpy(wire + 5000, "\r\n550 5.1.1 end\r\n", 18);
	f.len = 5018 - 1;
	converse(&f, &r);
	assert_int_equal(r.status, STREAM_OK);
	assert_int_equal(r.reply.code, 550);
	assert_string_equal(r.reply.dsn, "5.1.1");
	assert_true(r.reply.text.len < SMTP_REPLY_LINE_MAX + 20);
	assert_non_null(strstr(r.reply.text.data, "\n550 5.1.1 end"));
	smtp_reply_free(&r.reply);
}

static void test_text_is_cut_between_characters(void **state)
{
	struct arena *arena = arena_create(0);
	struct smtp_reply r = { 0 };

	assert_int_equal(smtp_reply_line(&r, SLICE("550 \xe2\x82\xac")), SMTP_REPLY_DONE);
	assert_string_equal(smtp_reply_text(&r, 6, arena).ptr, "550 ");
	assert_string_equal(smtp_reply_text(&r, 7, arena).ptr, "550 \xe2\x82\xac");
	smtp_reply_free(&r);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_endless_lines),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
