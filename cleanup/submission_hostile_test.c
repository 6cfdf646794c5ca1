/* SPDX-License-Identifier: ISC */
/* A peer of cleanup that was taken over: what it can have us hold has a limit, and rubbish ends its connection. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup/submission.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/mail/message_codec.h"

static char directory[] = "/tmp/cleanup-test-XXXXXX";
static int committed;

static void on_committed(const char *id)
{
	committed++;
}

static struct submission_settings settings = {
	.headers = { .hostname = "h.test", .origin = "h.test", .mail_name = "Postrider", .undisclosed = "" },
	.header_size_limit = 60000, .hopcount_limit = 50, .recipients = { .always_bcc = "" }, .committed = on_committed,
};
static struct config *config;

/* One that changes nothing. */
static void open_rewriter(void)
{
	char folder[] = "/tmp/cleanup-conf-XXXXXX", path[64];
	struct err err;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/main.cf", folder);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("myhostname = h.test\nmyorigin = h.test\nmydestination =\ninet_interfaces = loopback-only\n"
	      "mynetworks = 127.0.0.0/8\nlocal_recipient_maps =\nalias_maps =\n", f);
	fclose(f);
	config = config_load(folder, NULL, 0, &err);
	unlink(path);
	rmdir(folder);
	if (!config)
		fail_msg("%s", err.text);
	settings.recipients.rewriter = rewriter_create(config, &err);
	assert_non_null(settings.recipients.rewriter);
}

static int peer_start(const char *role)
{
	struct ipc_out m;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	submission_peer(pair[0], role);
	ipc_out_start(&m, 0xffff, 0);
	ipc_put_text(&m, 1, cleanup_protocol.name);
	ipc_put_u64(&m, 2, cleanup_protocol.version);
	assert_int_equal(send(pair[1], m.data, m.len, MSG_NOSIGNAL), m.len);
	return pair[1];
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
}

static void turn(void)
{
	ev_timer tick;

	ev_timer_init(&tick, on_tick, 0.01, 0);
	ev_timer_start(loop_get(), &tick);
	ev_run(loop_get(), EVRUN_ONCE);
	ev_timer_stop(loop_get(), &tick);
}

/* False: the connection has ended. */
static bool say(int fd, const struct ipc_out *m)
{
	while (send(fd, m->data, m->len, MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN)
			return false;
		turn();
	}
	return true;
}

/* The next message but hellos; 0: none now, -1: no more. */
static int hear(int fd, struct ipc_in *in)
{
	static uint8_t packet[IPC_MAX];
	ssize_t n;

	*in = (struct ipc_in){ .data = packet, .type = 0xffff };
	while (in->type == 0xffff) {
		n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? 0 : -1;
		struct cursor c = cursor_make(packet, (size_t)n);

		in->len = (size_t)n;
		in->type = cursor_u16(&c);
		in->request = cursor_u32(&c);
	}
	return 1;
}

static int await(int fd, struct ipc_in *in)
{
	int result;

	while ((result = hear(fd, in)) == 0)
		turn();
	return result;
}

static void say_open(int fd, uint32_t request)
{
	struct ipc_out m;

	ipc_out_start(&m, CLEANUP_OPEN, request);
	(void)say(fd, &m);
}

/* Before there are files: what waits for one. */
static void test_openings_have_a_limit(void **state)
{
	int fd = peer_start("smtpd"), other = peer_start("pickup");
	struct ipc_in in;
	uint64_t code;

	for (uint32_t i = 1; i <= 20000; i++)
		say_open(fd, i);
	for (int i = 0; i < 2000; i++)
		ev_run(loop_get(), EVRUN_NOWAIT);
	assert_int_equal(hear(fd, &in), 0);
	say_open(fd, 20001);
	assert_int_equal(await(fd, &in), 1);
	assert_int_equal(in.type, CLEANUP_REFUSED);
	assert_int_equal(in.request, 20001);
	assert_true(ipc_get_u64(&in, CLEANUP_FIELD_CODE, &code));
	assert_int_equal(code, 451);
	say_open(other, 1);
	for (int i = 0; i < 3; i++)
		turn();
	assert_int_equal(hear(other, &in), 0);
	close(fd);
	close(other);
	while (submission_peers() > 0)
		turn();
}

static void open_file(int fd, char id[MESSAGE_ID_SIZE])
{
	struct slice text;
	struct ipc_in in;

	say_open(fd, 7);
	assert_int_equal(await(fd, &in), 1);
	assert_int_equal(in.type, CLEANUP_OPENED);
	assert_true(ipc_get_bytes(&in, CLEANUP_FIELD_ID, &text));
	snprintf(id, MESSAGE_ID_SIZE, "%.*s", SLICE_FMT(text));
}

static void test_held_recipients_have_a_limit(void **state)
{
	static char address[MESSAGE_TEXT_MAX];
	struct message_recipient r = { .address = slice_make(address, sizeof(address)) };
	struct str record = { 0 };
	char id[MESSAGE_ID_SIZE];
	int fd = peer_start("smtpd");
	size_t sent = 0;
	struct ipc_out m;

	open_file(fd, id);
	memset(address, 'x', sizeof(address));
	assert_true(message_recipient_encode(&record, &r));
	do {
		ipc_out_start(&m, CLEANUP_RECIPIENTS, 0);
		ipc_put_text(&m, CLEANUP_FIELD_ID, id);
		for (int i = 0; i < 3; i++)
			ipc_put_bytes(&m, CLEANUP_FIELD_RECIPIENT, str_slice(&record));
		assert_false(m.failed);
		sent += m.len;
	} while (say(fd, &m) && sent < 1u << 30);
	assert_in_range(sent, 200u << 20, 300u << 20);
	while (submission_peers() > 0)
		turn();
	assert_int_equal(submission_open_files(), 0);
	str_free(&record);
	close(fd);
}

/* Each ends the connection, and its file goes. */
static void test_rubbish(void **state)
{
	for (int way = 0; way < 6; way++) {
		char id[MESSAGE_ID_SIZE];
		int fd = peer_start("smtpd");
		struct ipc_in in;
		struct ipc_out m;

		open_file(fd, id);
		ipc_out_start(&m, way == 0 ? 99 : way == 1 ? CLEANUP_RECIPIENTS : CLEANUP_COMMIT, 8);
		if (way != 2)
			ipc_put_text(&m, CLEANUP_FIELD_ID, way == 3 ? "../../etc/passwd" : id);
		if (way == 1)
			ipc_put_text(&m, CLEANUP_FIELD_RECIPIENT, "rubbish");
		if (way == 5)
			ipc_put_text(&m, CLEANUP_FIELD_ENVELOPE, "rubbish");
		(void)say(fd, &m);
		assert_int_equal(await(fd, &in), -1);
		assert_int_equal(submission_open_files(), 0);
		close(fd);
	}
	assert_int_equal(committed, 0);
}

/* A file of another peer's is not there for it. */
static void test_file_of_another(void **state)
{
	int fd = peer_start("smtpd"), thief = peer_start("smtpd");
	char id[MESSAGE_ID_SIZE];
	struct ipc_in in;
	struct ipc_out m;

	open_file(fd, id);
	ipc_out_start(&m, CLEANUP_ABORT, 0);
	ipc_put_text(&m, CLEANUP_FIELD_ID, id);
	(void)say(thief, &m);
	ipc_out_start(&m, CLEANUP_COMMIT, 9);
	ipc_put_text(&m, CLEANUP_FIELD_ID, id);
	(void)say(thief, &m);
	assert_int_equal(await(thief, &in), 1);
	assert_int_equal(in.type, CLEANUP_REFUSED);
	assert_int_equal(submission_open_files(), 1);
	assert_int_equal(committed, 0);
	close(fd);
	close(thief);
	while (submission_peers() > 0)
		turn();
}

static int start_files(void **state)
{
	spares_start(settings.directory, submission_spares_changed);
	return 0;
}

static int setup(void **state)
{
	log_open("test", -1, false);
	open_rewriter();
	assert_non_null(mkdtemp(directory));
	settings.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	submission_start(&settings);
	return 0;
}

static int teardown(void **state)
{
	submission_stop();
	spares_stop();
	close(settings.directory);
	rewriter_free(&settings.recipients.rewriter);
	config_free(&config);
	return rmdir(directory); /* nothing is left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openings_have_a_limit),
		cmocka_unit_test_setup(test_held_recipients_have_a_limit, start_files),
		cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_file_of_another),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
