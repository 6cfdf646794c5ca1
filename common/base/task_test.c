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

struct pair {
	int fd[2];
	char got[8];
	int order;
};

static void writer(void *arg)
{
	struct pair *p = arg;

	assert_int_equal(task_sleep(0.01), TASK_READY);
	p->order = p->order * 10 + 1;
	assert_int_equal(write(p->fd[1], "hi", 2), 2);
}

static void reader(void *arg)
{
	struct pair *p = arg;

	assert_int_equal(task_wait_fd(p->fd[0], TASK_READ, loop_now() + 0.001), TASK_TIMEOUT);
	p->order = p->order * 10 + 2;
	assert_int_equal(task_wait_fd(p->fd[0], TASK_READ, loop_now() + 5), TASK_READY);
	p->order = p->order * 10 + 3;
	assert_int_equal(read(p->fd[0], p->got, sizeof(p->got)), 2);
}

static void test_waits(void **state)
{
	struct task_group group = { 0 };
	struct pair p = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fd), 0);
	task_spawn(&group, reader, &p);
	task_spawn(&group, writer, &p);
	task_group_run(&group);
	assert_string_equal(p.got, "hi");
	assert_int_equal(p.order, 213);
	close(p.fd[0]);
	close(p.fd[1]);
}

static void forever(void *arg)
{
	struct task_event event = { 0 };

	assert_int_equal(task_event_wait(&event, TASK_FOREVER), TASK_CANCELLED);
	assert_int_equal(task_sleep(100), TASK_CANCELLED);
	++*(int *)arg;
}

static void canceller(void *arg)
{
	task_yield();
	task_group_cancel(arg);
}

static void test_cancel(void **state)
{
	struct task_group group = { 0 }, other = { 0 };
	int ended = 0;

	for (int i = 0; i < 1000; i++)
		task_spawn(&group, forever, &ended);
	task_spawn(&other, canceller, &group);
	task_group_run(&group);
	assert_int_equal(ended, 1000);
	task_group_run(&other);
}

struct shared {
	struct task_event event;
	int woken, timed_out;
};

static void event_waiter(void *arg)
{
	struct shared *s = arg;

	if (task_event_wait(&s->event, loop_now() + 0.05) == TASK_READY)
		s->woken++;
	else
		s->timed_out++;
}

static void signaller(void *arg)
{
	struct shared *s = arg;

	task_yield();
	task_event_signal(&s->event);
	task_event_signal(&s->event);
}

static void test_event_wakes_as_many_as_signalled(void **state)
{
	struct task_group group = { 0 };
	struct shared s = { 0 };

	for (int i = 0; i < 5; i++)
		task_spawn(&group, event_waiter, &s);
	task_spawn(&group, signaller, &s);
	task_group_run(&group);
	assert_int_equal(s.woken, 2);
	assert_int_equal(s.timed_out, 3);
}

static void add_one(void *arg)
{
	++*(int *)arg;
}

static void offloader(void *arg)
{
	for (int i = 0; i < 10; i++)
		task_offload(add_one, arg);
}

static void test_offload(void **state)
{
	struct task_group group = { 0 };
	int counts[50] = { 0 };

	for (int i = 0; i < 50; i++)
		task_spawn(&group, offloader, &counts[i]);
	task_group_run(&group);
	for (int i = 0; i < 50; i++)
		assert_int_equal(counts[i], 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_event_wakes_as_many_as_signalled),
		cmocka_unit_test(test_offload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
