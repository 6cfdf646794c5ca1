/* SPDX-License-Identifier: ISC */
/* A message's way through the queue manager, with delivery agents and a bounce that keep to the rules or do not. */
#include "tests/support/qmgr_world.h"

/* The agent that qmgr has just connected to says how much it takes. */
static int agent_start(uint32_t slots)
{
	struct ipc_out m;
	int fd;

	/* After the loss of another agent qmgr waits a second. */
	while (qmgr_world.peer < 0)
		waiting_turn();
	fd = qmgr_world.peer;
	qmgr_world.peer = -1;
	say_hello(fd, &delivery_protocol);
	assert_true(delivery_put_ready(&m, slots));
	say(fd, &m);
	turns();
	return fd;
}

/* The number of the job that it is given. */
static uint32_t agent_job(int fd)
{
	struct ipc_in in;
	bool ended;

	turns();
	assert_true(hear(fd, &in, &ended));
	assert_int_equal(in.type, DELIVERY_JOB);
	return in.request;
}

static void say_result(int fd, uint32_t job, uint32_t index, enum delivery_outcome outcome)
{
	struct delivery_result r = { .index = index, .outcome = outcome, .dsn = SLICE(""), .relay = SLICE("mx"),
				     .text = SLICE("as it is") };
	struct ipc_out m;

	assert_true(delivery_put_result(&m, job, &r));
	say(fd, &m);
}

static void say_done(int fd, uint32_t job, bool dead)
{
	struct ipc_out m;

	assert_true(delivery_put_done(&m, job, false, dead));
	say(fd, &m);
}

/* Ends the connection to an agent, and what has not been asked for again. */
static void agent_end(int fd)
{
	close(fd);
	qmgr_world.refuse = true;
	/* Another agent was asked for, as this one had no room. */
	if (qmgr_world.peer >= 0)
		close(qmgr_world.peer);
	qmgr_world.peer = -1;
	turns();
	(void)queue_flush();
	(void)queue_delete_all();
	/* The next agent is asked for a second later. */
	while (queue_active_first())
		waiting_turn();
	turns();
	qmgr_world.refuse = false;
	assert_int_equal(deferred_count(queue_deferred()), 0);
	assert_int_equal(qmgr_world.busy, 0);
}

static void test_delivered(void **state)
{
	char id[MESSAGE_ID_SIZE];
	int fd;

	message_put(id, "s@x.test", "a@far.test b@far.test");
	queue_take(slice_of(id));
	fd = agent_start(5);
	uint32_t job = agent_job(fd);

	assert_int_equal(qmgr_world.busy, 1);
	say_result(fd, job, 1, DELIVERY_SENT);
	say_result(fd, job, 0, DELIVERY_SENT);
	turns();
	assert_true(message_is_there(id));
	say_done(fd, job, false);
	turns();
	assert_false(message_is_there(id));
	assert_null(queue_active_first());
	agent_end(fd);
}

/* What an agent does with its one job, of the second and third recipient; the message must wait, as a whole or in part. */
enum misdeed {
	ANSWER_TWICE, ANSWER_FOR_OTHERS, ANSWER_UNKNOWN_JOB, DONE_UNKNOWN_JOB, DONE_WITHOUT_ANSWERS, DONE_TWICE,
	SAYS_RUBBISH, SENDS_A_JOB, HANGS_UP, HANGS_UP_HALF_WAY, TOO_MANY_SLOTS, MISDEEDS
};

static void misbehave(int fd, uint32_t job, enum misdeed misdeed)
{
	struct ipc_out m;

	switch (misdeed) {
	case ANSWER_TWICE:
		say_result(fd, job, 1, DELIVERY_SENT);
		say_result(fd, job, 1, DELIVERY_SENT);
		break;
	case ANSWER_FOR_OTHERS:
		say_result(fd, job, 0, DELIVERY_SENT);
		break;
	case ANSWER_UNKNOWN_JOB:
		say_result(fd, job + 1, 1, DELIVERY_SENT);
		break;
	case DONE_UNKNOWN_JOB:
		say_done(fd, 0, false);
		break;
	case DONE_WITHOUT_ANSWERS:
		say_done(fd, job, true);
		break;
	case DONE_TWICE:
		say_result(fd, job, 1, DELIVERY_DEFERRED);
		say_done(fd, job, false);
		say_done(fd, job, false);
		break;
	case SAYS_RUBBISH:
		assert_int_equal(send(fd, "rubbish", 7, MSG_NOSIGNAL), 7);
		break;
	case SENDS_A_JOB:
		ipc_out_start(&m, DELIVERY_JOB, job);
		say(fd, &m);
		break;
	case HANGS_UP:
		assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
		break;
	case HANGS_UP_HALF_WAY:
		say_result(fd, job, 2, DELIVERY_SENT);
		assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
		break;
	case TOO_MANY_SLOTS:
		assert_true(delivery_put_ready(&m, UINT32_MAX));
		say(fd, &m);
		break;
	case MISDEEDS:
		break;
	}
}

static void test_misdeeds(void **state)
{
	for (enum misdeed misdeed = 0; misdeed < MISDEEDS; misdeed++) {
		char id[MESSAGE_ID_SIZE];
		int fd;

		message_put(id, "s@x.test", "c@other.test a@far.test b@far.test");
		queue_take(slice_of(id));
		fd = agent_start(1);
		misbehave(fd, agent_job(fd), misdeed);
		turns();
		if (misdeed != DONE_WITHOUT_ANSWERS)
			assert_true(has_hung_up(fd));
		assert_true(message_is_there(id));
		/* The other job waits for an agent, or was lost with this one. */
		if (misdeed != DONE_TWICE)
			assert_non_null(queue_active_first());
		agent_end(fd);
	}
}

/* Neither a result nor the end of another agent's job is believed. */
static void test_another_agents_job(void **state)
{
	char id[MESSAGE_ID_SIZE], second[MESSAGE_ID_SIZE];
	int a, b;

	message_put(id, "s@x.test", "a@far.test");
	message_put(second, "s@x.test", "b@far.test");
	queue_take(slice_of(id));
	a = agent_start(1);
	uint32_t job = agent_job(a);

	queue_take(slice_of(second));
	b = agent_start(1);
	uint32_t other = agent_job(b);

	assert_int_not_equal(job, other);
	say_result(b, job, 0, DELIVERY_SENT);
	turns();
	assert_true(has_hung_up(b));
	say_result(a, job, 0, DELIVERY_SENT);
	say_done(a, job, false);
	turns();
	assert_false(message_is_there(id));
	assert_true(message_is_there(second));
	close(b);
	agent_end(a);
}

/* Deleted while it is being delivered: gone when its job has ended, whatever the agent says. */
static void test_deleted_under_way(void **state)
{
	char id[MESSAGE_ID_SIZE];
	int fd;

	message_put(id, "s@x.test", "a@far.test");
	queue_take(slice_of(id));
	fd = agent_start(1);
	uint32_t job = agent_job(fd);

	assert_int_equal(queue_delete(slice_of(id)), 1);
	assert_true(message_is_there(id));
	say_result(fd, job, 0, DELIVERY_DEFERRED);
	say_done(fd, job, false);
	turns();
	assert_false(message_is_there(id));
	agent_end(fd);
}

/* Deleted while its notice is made, and the notice fails: it does not come back. */
static void test_deleted_during_its_notice(void **state)
{
	char id[MESSAGE_ID_SIZE];

	message_put(id, "s@x.test", "Fa@far.test");
	queue_take(slice_of(id));
	turns();
	assert_int_equal(qmgr_world.busy, 1);
	assert_int_equal(queue_delete(slice_of(id)), 1);
	close(qmgr_world.peer);
	qmgr_world.peer = -1;
	turns();
	assert_int_equal(qmgr_world.busy, 0);
	assert_false(message_is_there(id));
	assert_int_equal(deferred_count(queue_deferred()), 0);
}

/* What bounce is given it can read, and not write. */
static void test_bounce_cannot_write(void **state)
{
	static uint8_t packet[IPC_MAX];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space };
	char id[MESSAGE_ID_SIZE];
	struct ipc_in in;
	struct ipc_out m;
	bool ended;
	int fd = -1;

	message_put(id, "s@x.test", "Fa@far.test");
	queue_take(slice_of(id));
	turns();
	say_hello(qmgr_world.peer, &qmgr_protocol);
	turns();
	assert_false(fd >= 0);
	for (in.type = 0xffff; in.type == 0xffff;) {
		msg.msg_controllen = sizeof(control.space);
		ssize_t n = recvmsg(qmgr_world.peer, &msg, MSG_DONTWAIT);

		assert_true(n > 0);
		struct cursor c = cursor_make(packet, (size_t)n);

		in.type = cursor_u16(&c);
		in.request = cursor_u32(&c);
	}
	assert_int_equal(in.type, QMGR_NOTICE);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	ipc_out_start(&m, QMGR_NOTICE_DONE, in.request);
	ipc_put_u64(&m, QMGR_FIELD_COUNT, 1);
	say(qmgr_world.peer, &m);
	turns();
	assert_false(message_is_there(id));
	assert_false(hear(qmgr_world.peer, &in, &ended));
	close(qmgr_world.peer);
	qmgr_world.peer = -1;
	turns();
}

/* No process for the transport: deferred, not lost and not tried in a circle. */
static void test_no_agent(void **state)
{
	char id[MESSAGE_ID_SIZE];
	size_t before = qmgr_world.connections;

	message_put(id, "s@x.test", "a@far.test b@other.test");
	qmgr_world.refuse = true;
	queue_take(slice_of(id));
	while (queue_active_first())
		waiting_turn();
	turns();
	assert_int_equal(deferred_count(queue_deferred()), 1);
	assert_int_equal(qmgr_world.connections, before);
	assert_int_equal(queue_delete(slice_of(id)), 1);
	assert_false(message_is_there(id));
	qmgr_world.refuse = false;
}

/* A retiring process starts nothing; what it has not started it leaves to its successor. */
static void test_retiring(void **state)
{
	char id[MESSAGE_ID_SIZE], second[MESSAGE_ID_SIZE];
	struct ipc_in in;
	bool ended;
	int fd;

	message_put(id, "s@x.test", "a@far.test");
	message_put(second, "s@x.test", "b@far.test");
	queue_take(slice_of(id));
	queue_take(slice_of(second));
	fd = agent_start(1);
	uint32_t job = agent_job(fd);

	qmgr_world.retiring = true;
	say_result(fd, job, 0, DELIVERY_SENT);
	say_done(fd, job, false);
	turns();
	assert_false(message_is_there(id));
	assert_true(message_is_there(second));
	assert_int_equal(qmgr_world.busy, 0);
	assert_false(hear(fd, &in, &ended));
	assert_false(ended);
	qmgr_world.retiring = false;
	agents_dispatch(schedule_transports(agents_schedule()));
	(void)agent_job(fd);
	agent_end(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivered),
		cmocka_unit_test(test_misdeeds),
		cmocka_unit_test(test_another_agents_job),
		cmocka_unit_test(test_deleted_under_way),
		cmocka_unit_test(test_deleted_during_its_notice),
		cmocka_unit_test(test_bounce_cannot_write),
		cmocka_unit_test(test_no_agent),
		cmocka_unit_test(test_retiring),
	};

	return cmocka_run_group_tests(tests, qmgr_world_start, qmgr_world_end);
}
