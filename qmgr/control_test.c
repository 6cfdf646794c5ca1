/* SPDX-License-Identifier: ISC */
/* Who may say what to the queue manager, and clients that hang up, flood, or talk rubbish. */
#include "tests/support/qmgr_world.h"

/* A caller of `role` (NULL: a command of our own user) that has said hello. */
static int call(const char *role)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	control_accept(pair[0], role);
	say_hello(pair[1], &qmgr_protocol);
	return pair[1];
}

static void request(int fd, uint16_t type, const char *id)
{
	struct ipc_out m;

	ipc_out_start(&m, type, 5);
	if (id)
		ipc_put_text(&m, QMGR_FIELD_ID, id);
	say(fd, &m);
}

/* Number and text of the answer. */
static uint64_t answer(int fd, const char *text)
{
	struct ipc_in in;
	struct slice said;
	uint64_t count = 0;
	bool ended;

	turns();
	assert_true(hear(fd, &in, &ended));
	assert_int_equal(in.type, QMGR_RESULT);
	assert_int_equal(in.request, 5);
	assert_true(ipc_get_u64(&in, QMGR_FIELD_COUNT, &count));
	assert_true(ipc_get_bytes(&in, QMGR_FIELD_TEXT, &said));
	assert_true(slice_eq(said, slice_of(text)));
	return count;
}

static void test_who_may_say_what(void **state)
{
	static const struct {
		const char *role;
		uint16_t type;
	} refused[] = {
		{ "cleanup", QMGR_LIST }, { "cleanup", QMGR_FLUSH }, { "cleanup", QMGR_FLUSH_ID },
		{ "cleanup", QMGR_FLUSH_SITE }, { "cleanup", QMGR_DELETE }, { "showq", QMGR_NEW },
		{ "showq", QMGR_FLUSH }, { "showq", QMGR_DELETE }, { "smtpd", QMGR_NEW }, { "smtpd", QMGR_LIST },
		{ "smtpd", QMGR_FLUSH }, { "smtpd", QMGR_DELETE }, { NULL, QMGR_NEW },
	};
	char id[MESSAGE_ID_SIZE];

	message_put(id, "s@x.test", "a@far.test");
	queue_wait(slice_of(id), loop_now() + 1000);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int fd = call(refused[i].role);

		request(fd, refused[i].type, id);
		assert_int_equal(answer(fd, "not allowed"), 0);
		close(fd);
		turns();
	}
	assert_true(message_is_there(id));
	assert_int_equal(deferred_count(queue_deferred()), 1);
	int fd = call(NULL);

	request(fd, QMGR_DELETE, "nothing");
	assert_int_equal(answer(fd, ""), 0);
	request(fd, QMGR_DELETE, "../../etc/passwd");
	assert_int_equal(answer(fd, ""), 0);
	request(fd, QMGR_DELETE, NULL);
	assert_int_equal(answer(fd, ""), 0);
	request(fd, QMGR_FLUSH_ID, "nothing");
	assert_int_equal(answer(fd, ""), 0);
	request(fd, QMGR_DELETE, id);
	assert_int_equal(answer(fd, ""), 1);
	assert_false(message_is_there(id));
	close(fd);
	turns();
}

/* A NEW of what is not there, or is no ID, is passed over. */
static void test_new_of_nothing(void **state)
{
	int fd = call("cleanup");
	struct ipc_in in;
	bool ended;

	request(fd, QMGR_NEW, "4abcdefz1");
	request(fd, QMGR_NEW, "../x");
	request(fd, QMGR_NEW, "");
	request(fd, QMGR_NEW, NULL);
	turns();
	assert_false(hear(fd, &in, &ended));
	assert_false(ended);
	assert_null(queue_active_first());
	assert_int_equal(deferred_count(queue_deferred()), 0);
	close(fd);
	turns();
}

static void test_unknown_message_closes(void **state)
{
	static const char *const roles[] = { "cleanup", "showq", NULL };

	for (size_t i = 0; i < 3; i++) {
		int fd = call(roles[i]);

		request(fd, QMGR_FLUSH_ID, "x");
		request(fd, 999, NULL);
		request(fd, QMGR_FLUSH_ID, "x");
		turns();
		assert_true(has_hung_up(fd));
		close(fd);
		turns();
	}
}

/* Gone before hello, in the middle of requests, with answers unread; a wrong hello. */
static void test_clients_that_hang_up(void **state)
{
	static const struct ipc_protocol other = { "other", 1 };
	static const char *const roles[] = { "cleanup", "showq", NULL };
	int pair[2];

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		control_accept(pair[0], roles[i]);
		close(pair[1]);
		turns();
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		control_accept(pair[0], roles[i]);
		say_hello(pair[1], &other);
		request(pair[1], QMGR_LIST, NULL);
		turns();
		assert_true(has_hung_up(pair[1]));
		close(pair[1]);
		int fd = call(roles[i]);

		for (int n = 0; n < 20; n++)
			request(fd, n % 2 ? QMGR_LIST : QMGR_DELETE, "x");
		if (i % 2)
			ev_run(loop_get(), EVRUN_NOWAIT);
		close(fd);
		turns();
	}
}

/* Who lists and does not read: kept up to the limit of the channel, then dropped. */
static void test_a_client_that_does_not_read(void **state)
{
	int fd = call("showq");

	for (int i = 0; i < 5000; i++) {
		struct ipc_out m;

		ipc_out_start(&m, QMGR_LIST, 1);
		if (send(fd, m.data, m.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			turns();
			i--;
			if (errno != EAGAIN)
				break;
		}
	}
	turns();
	assert_true(has_hung_up(fd));
	close(fd);
	turns();
}

/* Commands that hang must not take all descriptors: the oldest goes. */
static void test_many_commands(void **state)
{
	int fds[130], cleanup = call("cleanup");
	struct ipc_in in;
	bool ended;

	for (int i = 0; i < 130; i++)
		fds[i] = call(NULL);
	turns();
	for (int i = 0; i < 130; i++)
		assert_int_equal(has_hung_up(fds[i]), i < 30);
	for (int i = 30; i < 130; i += 99) {
		request(fds[i], QMGR_FLUSH, NULL);
		assert_int_equal(answer(fds[i], ""), 0);
	}
	assert_false(hear(cleanup, &in, &ended));
	assert_false(ended);
	for (int i = 0; i < 130; i++)
		close(fds[i]);
	turns();
	/* Those that ended are not counted. */
	for (int i = 0; i < 100; i++)
		fds[i] = call(NULL);
	turns();
	for (int i = 0; i < 100; i++) {
		assert_false(has_hung_up(fds[i]));
		close(fds[i]);
	}
	close(cleanup);
	turns();
}

static void test_list(void **state)
{
	int fd = call("showq");
	struct ipc_in in;
	bool ended, end = false;
	size_t count = 0;

	for (int i = 0; i < 5000; i++) {
		char id[MESSAGE_ID_SIZE];

		snprintf(id, sizeof(id), "4abcdefz%d", i);
		queue_wait(slice_of(id), loop_now() + 1000);
	}
	request(fd, QMGR_LIST, NULL);
	while (!end) {
		struct ipc_field f;
		size_t pos = 0;

		turns();
		if (!hear(fd, &in, &ended))
			continue;
		assert_int_equal(in.request, 5);
		end = in.type == QMGR_END;
		while (ipc_next(&in, &pos, &f))
			count += f.field == QMGR_FIELD_ID;
	}
	assert_int_equal(count, 5000);
	close(fd);
	assert_int_equal(queue_delete_all(), 5000);
	turns();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_say_what),
		cmocka_unit_test(test_new_of_nothing),
		cmocka_unit_test(test_unknown_message_closes),
		cmocka_unit_test(test_clients_that_hang_up),
		cmocka_unit_test(test_a_client_that_does_not_read),
		cmocka_unit_test(test_many_commands),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, qmgr_world_start, qmgr_world_end);
}
