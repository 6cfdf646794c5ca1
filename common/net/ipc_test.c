/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ev.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/ipc.h"

static const struct ipc_protocol protocol = { "echo", 1 };
static int client_end = -1;

static int give_end(const char *service, double deadline, struct err *err)
{
	int fd = client_end;

	client_end = -1;
	if (fd < 0)
		err_set(err, ERR_TEMPORARY, "no server");
	return fd;
}

/* Answers with field 1 back, and the descriptor that came along. */
static void echo(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct ipc_out out;
	struct slice text;
	int fd = ipc_take_fd(m, 0);

	assert_true(ipc_get_bytes(m, 1, &text));
	ipc_out_start(&out, 2, m->request);
	ipc_put_bytes(&out, 1, text);
	if (fd >= 0)
		ipc_put_fd(&out, fd);
	assert_true(ipc_send(ch, &out));
	if (fd >= 0)
		close(fd);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct ipc_channel **own = context;

	ipc_channel_free(own);
}

static const struct ipc_handler echo_handler = { .on_message = echo, .on_close = on_close };

static void calls(void *arg)
{
	struct ipc_client *client = arg;
	struct ipc_reply reply;
	struct ipc_out m;
	struct slice text;
	struct err err;
	int pipe_fd[2];
	char byte = 'x';

	assert_true(ipc_client_connect(client, loop_now() + 1, &err));
	assert_int_equal(pipe(pipe_fd), 0);
	ipc_out_start(&m, 1, ipc_client_request(client));
	ipc_put_text(&m, 1, "hello");
	ipc_put_fd(&m, pipe_fd[1]);
	assert_true(ipc_client_call(client, &m, loop_now() + 1, &reply, &err));
	assert_true(ipc_get_bytes(&reply.in, 1, &text));
	assert_true(slice_eq(text, SLICE("hello")));
	int copy = ipc_take_fd(&reply.in, 0);

	assert_true(copy >= 0);
	assert_int_equal(write(copy, "y", 1), 1);
	assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	close(copy);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	ipc_reply_free(&reply);
}

static void test_call_and_descriptor(void **state)
{
	struct task_group group = { 0 };
	struct ipc_client *client = ipc_client_create("echo", &protocol, give_end);
	struct ipc_channel *server;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	client_end = fd[0];
	server = ipc_channel_create(fd[1], &protocol, &echo_handler, &server);
	for (int i = 0; i < 20; i++)
		task_spawn(&group, calls, client);
	task_group_run(&group);
	ipc_client_free(&client);
	ipc_channel_free(&server);
}

/* A server that retires: what is held goes on with it, the rest with the next. */
static int ends[2], first_server = -1;
static int next_end;

static int give_next(const char *service, double deadline, struct err *err)
{
	return ends[next_end++];
}

static bool echo_over(struct ipc_client *client, struct ipc_link *link)
{
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err;
	bool ok;

	ipc_out_start(&m, 1, ipc_client_request(client));
	ipc_put_text(&m, 1, "hello");
	ok = ipc_link_call(link, &m, loop_now() + 5, &reply, &err);
	ipc_reply_free(&reply);
	return ok;
}

static void retired(void *arg)
{
	struct ipc_client *client = arg;
	struct err err;
	struct ipc_link *old = ipc_client_hold(client, loop_now() + 1, &err), *fresh;

	assert_true(echo_over(client, old));
	assert_true(ipc_link_current(old));
	assert_true(ipc_say_bye(first_server));
	while (ipc_link_current(old)) /* the farewell is on its way */
		task_yield();
	fresh = ipc_client_hold(client, loop_now() + 1, &err);
	assert_ptr_not_equal(fresh, old);
	assert_int_equal(next_end, 2);
	assert_true(echo_over(client, old));
	assert_true(echo_over(client, fresh));
	ipc_link_release(&old);
	ipc_link_release(&fresh);
	assert_int_equal(next_end, 2);
}

static void test_retiring_server(void **state)
{
	struct task_group group = { 0 };
	struct ipc_client *client = ipc_client_create("echo", &protocol, give_next);
	struct ipc_channel *server[2];
	int fd[2];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
		ends[i] = fd[0];
		server[i] = ipc_channel_create(fd[1], &protocol, &echo_handler, &server[i]);
		if (i == 0)
			first_server = fd[1];
	}
	task_spawn(&group, retired, client);
	task_group_run(&group);
	/* Nobody holds the first any more: its server has heard of the end. */
	while (server[0])
		ev_run(loop_get(), EVRUN_ONCE);
	assert_non_null(server[1]);
	ipc_client_free(&client);
	ipc_channel_free(&server[1]);
}

static void lost_call(void *arg)
{
	struct ipc_client *client = arg;
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err;

	assert_true(ipc_client_connect(client, loop_now() + 1, &err));
	ipc_out_start(&m, 1, ipc_client_request(client));
	assert_false(ipc_client_call(client, &m, loop_now() + 5, &reply, &err));
	assert_int_equal(err.code, ERR_CLOSED);
	assert_false(ipc_client_connect(client, loop_now() + 1, &err));
	assert_int_equal(err.code, ERR_TEMPORARY);
}

static void send_rubbish(void *arg)
{
	int fd = *(int *)arg;

	task_yield();
	assert_int_equal(send(fd, "rubbish that is long enough", 27, 0), 27);
}

static void test_malformed_packet_closes(void **state)
{
	struct task_group group = { 0 };
	struct ipc_client *client = ipc_client_create("echo", &protocol, give_end);
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	client_end = fd[0];
	task_spawn(&group, lost_call, client);
	task_spawn(&group, send_rubbish, &fd[1]);
	task_group_run(&group);
	ipc_client_free(&client);
	close(fd[1]);
}

static void test_valid(void **state)
{
	struct ipc_out m;

	ipc_out_start(&m, 7, 9);
	assert_true(ipc_valid(m.data, m.len));
	ipc_put_u64(&m, 1, 5);
	ipc_put_text(&m, 2, "abc");
	assert_true(ipc_valid(m.data, m.len));
	for (size_t len = 0; len < m.len; len++)
		if (len != 6 && len != 6 + 15)
			assert_false(ipc_valid(m.data, len));
	m.data[8] = 'z';
	assert_false(ipc_valid(m.data, m.len));
	m.data[8] = 'u';
	m.data[9] = 0xff;
	assert_false(ipc_valid(m.data, m.len));
}

static void test_too_large_fails(void **state)
{
	static char big[IPC_MAX];
	struct ipc_out m;

	ipc_out_start(&m, 1, 1);
	assert_true(ipc_out_room(&m) < IPC_MAX);
	ipc_put_bytes(&m, 1, slice_make(big, ipc_out_room(&m)));
	assert_false(m.failed);
	ipc_put_u64(&m, 2, 1);
	assert_true(m.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_and_descriptor),
		cmocka_unit_test(test_retiring_server),
		cmocka_unit_test(test_malformed_packet_closes),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_too_large_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
