/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/proto/cleanup_proto.h"

/* A cleanup service that takes everything, on the other end of a socket pair. */
static struct {
	int client_end;
	struct ipc_channel *channel;
	int opened, recipients, commits, aborts;
	bool refuse;
	char last_id[MESSAGE_ID_SIZE];
	struct arena *arena;
} server;

static void answer_open(struct ipc_channel *ch, struct ipc_in *m)
{
	struct cleanup_refusal no = { 452, "4.3.1", "Insufficient system storage" };
	struct ipc_out out;

	if (server.refuse) {
		assert_true(cleanup_put_refused(&out, m->request, &no));
		ipc_send(ch, &out);
		return;
	}
	ipc_out_start(&out, CLEANUP_OPENED, m->request);
	for (int i = 0; i < IPC_FDS; i++) {
		char id[MESSAGE_ID_SIZE];

		snprintf(id, sizeof(id), "FILE%04d", ++server.opened);
		ipc_put_text(&out, CLEANUP_FIELD_ID, id);
		ipc_put_fd(&out, memfd_create("message", MFD_CLOEXEC));
	}
	ipc_send(ch, &out);
	for (int i = 0; i < out.fd_count; i++)
		close(out.fds[i]);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct message_envelope envelope;
	struct message_content content;
	struct message_recipient recipient;
	struct ipc_out out;
	struct slice id;
	struct err err;
	size_t pos = 0;

	if (m->type == CLEANUP_OPEN) {
		answer_open(ch, m);
		return;
	}
	assert_true(ipc_get_bytes(m, CLEANUP_FIELD_ID, &id));
	snprintf(server.last_id, sizeof(server.last_id), "%.*s", SLICE_FMT(id));
	server.aborts += m->type == CLEANUP_ABORT;
	while (cleanup_get_recipient(m, &pos, server.arena, &recipient) > 0)
		server.recipients++;
	if (m->type != CLEANUP_COMMIT)
		return;
	assert_true(cleanup_get_commit(m, server.arena, &envelope, &content, &err));
	assert_int_equal(content.length, 42);
	assert_true(slice_eq(envelope.sender, SLICE("me@example.com")));
	server.commits++;
	ipc_out_start(&out, CLEANUP_COMMITTED, m->request);
	ipc_send(ch, &out);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&server.channel);
}

static int give_end(const char *service, double deadline, struct err *err)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	int pair[2];

	if (server.client_end == -2) {
		err_set(err, ERR_TEMPORARY, "no server");
		return -1;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	server.channel = ipc_channel_create(pair[1], &cleanup_protocol, &handler, NULL);
	return pair[0];
}

static void submit(struct ipc_client *client, size_t count)
{
	static struct message_recipient recipients[4000];
	struct message_envelope envelope = { .origin = ORIGIN_LOCAL, .sender = SLICE("me@example.com"),
					     .recipients = recipients, .recipient_count = count };
	struct message_content content = { .length = 42, .header_length = 20 };
	struct cleanup_session session;
	struct cleanup_refusal no;

	for (size_t i = 0; i < count; i++)
		recipients[i].address = SLICE("somebody-with-a-long-name@a-long-domain.example.com");
	assert_true(cleanup_open(&session, client, loop_now() + 5, &no));
	assert_true(session.fd >= 0);
	assert_int_equal(write(session.fd, "x", 1), 1);
	assert_true(cleanup_commit(&session, &envelope, &content, loop_now() + 5, &no));
	assert_int_equal(session.fd, -1);
}

static void conversation(void *arg)
{
	struct ipc_client *client = arg;
	struct cleanup_session session;
	struct cleanup_refusal no = { 0 };
	char first[MESSAGE_ID_SIZE];

	submit(client, 1);
	assert_int_equal(server.recipients, 1);
	assert_string_equal(server.last_id, "FILE0001");
	submit(client, 4000); /* several packets */
	assert_int_equal(server.recipients, 4001);
	assert_int_equal(server.commits, 2);
	for (int i = 0; i < 200; i++)
		submit(client, 1);
	assert_int_equal(server.commits, 202);
	assert_string_equal(server.last_id, "FILE0202");
	assert_true(server.opened < 202 + 64 + 8);

	assert_true(cleanup_open(&session, client, loop_now() + 5, &no));
	memcpy(first, session.queue_id, sizeof(first));
	cleanup_abort(&session);
	cleanup_abort(&session);
	assert_int_equal(session.fd, -1);
	task_sleep(0.02);
	assert_int_equal(server.aborts, 1);
	assert_string_equal(server.last_id, first);

	/* cleanup dies: its files are not handed out any more, an open one is refused. */
	assert_true(cleanup_open(&session, client, loop_now() + 5, &no));
	ipc_channel_free(&server.channel);
	task_sleep(0.02);
	assert_false(cleanup_commit(&session, &(struct message_envelope){ .origin = ORIGIN_LOCAL },
				    &(struct message_content){ 0 }, loop_now() + 1, &no));
	assert_int_equal(no.code, 451);
	int before = server.opened;

	server.refuse = true;
	assert_false(cleanup_open(&session, client, loop_now() + 5, &no));
	assert_int_equal(no.code, 452);
	assert_string_equal(no.dsn, "4.3.1");
	server.refuse = false;
	submit(client, 1);
	assert_true(server.opened > before);
	ipc_channel_free(&server.channel);
	task_sleep(0.02);
	server.client_end = -2;
	assert_false(cleanup_open(&session, client, loop_now() + 1, &no));
	assert_int_equal(no.code, 451);
	assert_string_equal(no.dsn, "4.3.0");
}

static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void stub(void **state)
{
	struct ipc_client *client = ipc_client_create("cleanup", &cleanup_protocol, give_end);
	struct task_group group = { 0 };

	loop_now();
	int before = count_fds();

	server.arena = arena_create(0);
	task_spawn(&group, conversation, client);
	task_group_run(&group);
	cleanup_forget(client);
	ipc_client_free(&client);
	arena_free(&server.arena);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(stub) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
