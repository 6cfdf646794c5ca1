/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "qmgr/schedule.h"

#define ONE { FEEDBACK_FIXED, 1 }

static struct destination_limits limits(const char *name)
{
	return (struct destination_limits){ .window = { 2, 4, ONE, ONE, 1 }, .rest = 60 };
}

static struct destination_limits narrow(const char *name)
{
	return (struct destination_limits){ .window = { 1, 0, ONE, ONE, 1 }, .rest = 10 };
}

/* One at a time, and Postfix's defaults of the slots. */
static struct destination_limits single(const char *name)
{
	return (struct destination_limits){ .window = { 1, 1, ONE, ONE, 1 }, .rest = 10, .slot_cost = 5, .slot_loan = 3,
					    .slot_discount = 50, .minimum_slots = 3 };
}

static struct transport *transport(struct schedule **s, struct destination_limits (*of)(const char *name))
{
	*s = schedule_create();
	return schedule_transport(*s, SLICE("smtp"), of);
}

static void test_destinations_take_turns(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, limits);
	struct destination *a = schedule_destination(s, t, SLICE("a")), *b = schedule_destination(s, t, SLICE("B"));
	struct job jobs[6] = { 0 };

	assert_ptr_equal(schedule_destination(s, t, SLICE("b")), b);
	for (int i = 0; i < 5; i++)
		schedule_add(a, &jobs[i]);
	schedule_add(b, &jobs[5]);
	assert_ptr_equal(schedule_next(t, 0), &jobs[0]);
	assert_ptr_equal(schedule_next(t, 0), &jobs[5]); /* overtakes the long list of a */
	assert_ptr_equal(schedule_next(t, 0), &jobs[1]);
	assert_null(schedule_next(t, 0));                /* the window of a is 2 */
	schedule_done(&jobs[0], SCHEDULE_OK, 0);         /* 3 */
	assert_ptr_equal(schedule_next(t, 0), &jobs[2]);
	assert_ptr_equal(schedule_next(t, 0), &jobs[3]);
	assert_null(schedule_next(t, 0));
	schedule_free(&s);
}

static void test_window(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, limits);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job jobs[4] = { 0 }, job = { 0 };

	/* One at a time does not open it beyond what it starts with, and one more. */
	for (int i = 0; i < 10; i++) {
		schedule_add(d, &job);
		assert_ptr_equal(schedule_next(t, 0), &job);
		schedule_done(&job, SCHEDULE_OK, 0);
	}
	assert_true(d->window.size == 3);
	for (int round = 0; round < 3; round++) {
		size_t count = 0;

		for (int i = 0; i < 4; i++)
			schedule_add(d, &jobs[i]);
		while (schedule_next(t, 0))
			count++;
		assert_int_equal(count, round ? 4 : 3);
		for (size_t i = 0; i < count; i++)
			schedule_done(&jobs[i], SCHEDULE_OK, 0);
		while (schedule_take_waiting(d))
			;
	}
	assert_true(d->window.size == 4); /* its limit */
	/* A cohort of failures closes it. */
	for (int i = 0; i < 3; i++) {
		assert_false(schedule_is_dead(d, 100));
		schedule_add(d, &job);
		assert_ptr_equal(schedule_next(t, 100), &job);
		schedule_done(&job, SCHEDULE_UNREACHABLE, 100);
	}
	assert_true(schedule_is_dead(d, 159)); /* 1/4 + 1/3 + 1/2 */
	assert_false(schedule_is_dead(d, 161));
	assert_true(d->window.size == 2);
	schedule_forget_if_idle(s, d, 120);
	assert_int_equal(t->destinations, 1);
	schedule_forget_if_idle(s, d, 200);
	assert_int_equal(t->destinations, 0);
	assert_null(t->first);
	schedule_free(&s);
}

static void test_feedback(void **state)
{
	static const char *const bad[] = { "", "x", "2", "1/", "1/0", "-1", "1/window", "1 1", "0.5.5" };
	struct feedback f;
	struct window w;
	struct window_limits l = { 4, 0, { FEEDBACK_BY_WINDOW, 1 }, { FEEDBACK_FIXED, 0.5 }, 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(feedback_parse(bad[i], &f));
	assert_true(feedback_parse("0.25", &f) && f.kind == FEEDBACK_FIXED && f.base == 0.25);
	assert_true(feedback_parse("1/4", &f) && f.kind == FEEDBACK_FIXED && f.base == 0.25);
	assert_true(feedback_parse("1 / sqrt_concurrency", &f) && f.kind == FEEDBACK_BY_ROOT && f.base == 1);
	assert_true(feedback_parse("1/concurrency", &f) && f.kind == FEEDBACK_BY_WINDOW);
	/* By the window: a whole window of successes for one step. */
	window_start(&w, &l);
	for (int i = 0; i < 4; i++) {
		assert_true(w.size == 4);
		window_success(&w, &l, 4);
	}
	assert_true(w.size == 5);
	/* Half: two failures for one step; no number of cohorts makes it dead; never below one. */
	assert_false(window_failure(&w, &l));
	assert_true(w.size == 5);
	assert_false(window_failure(&w, &l));
	assert_true(w.size == 4);
	for (int i = 0; i < 100; i++)
		assert_false(window_failure(&w, &l));
	assert_true(w.size == 1);
	window_success(&w, &l, 1);
	assert_true(w.size == 4);
}

/* Dead and idle destinations do not pile up; those with jobs stay, and the circle stays whole. */
static void test_sweep(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, limits);
	struct transport *other = schedule_transport(s, SLICE("lmtp"), limits);
	struct destination *busy, *waiting;
	struct job jobs[2] = { 0 }, job = { 0 };
	char name[16];

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		struct destination *d = schedule_destination(s, i % 7 ? t : other, slice_of(name));

		for (int again = 0; again < (i % 3 ? 1 : 2); again++) {
			schedule_add(d, &job);
			assert_ptr_equal(schedule_next(d->transport, 0), &job);
			schedule_done(&job, i % 3 ? SCHEDULE_OK : SCHEDULE_UNREACHABLE, 0);
		}
	}
	busy = schedule_destination(s, t, SLICE("d1"));
	waiting = schedule_destination(s, t, SLICE("d2"));
	schedule_add(busy, &jobs[0]);
	assert_ptr_equal(schedule_next(t, 0), &jobs[0]);
	schedule_add(waiting, &jobs[1]);
	schedule_sweep(s, 1);
	assert_in_range(t->destinations + other->destinations, 1667, 1669);
	schedule_sweep(s, 61);
	assert_int_equal(t->destinations, 2);
	assert_int_equal(other->destinations, 0);
	assert_null(other->first);
	assert_ptr_equal(busy->next, waiting);
	assert_ptr_equal(busy->prev, waiting);
	assert_ptr_equal(waiting->next, busy);
	assert_ptr_equal(schedule_next(t, 0), &jobs[1]);
	schedule_done(&jobs[0], SCHEDULE_OK, 61);
	schedule_done(&jobs[1], SCHEDULE_OK, 61);
	schedule_sweep(s, 61);
	assert_null(t->first);
	schedule_free(&s);
}

/* Back-off: what waits for a dead site is handed back, a flush revives it, one success forgives all. */
static void test_dead_and_revived(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, narrow);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job jobs[4] = { 0 };

	for (int i = 0; i < 4; i++)
		schedule_add(d, &jobs[i]);
	assert_int_equal(t->waiting, 4);
	assert_ptr_equal(schedule_next(t, 0), &jobs[0]);
	assert_null(schedule_next(t, 0));
	schedule_done(&jobs[0], SCHEDULE_UNREACHABLE, 5);
	assert_true(schedule_is_dead(d, 14.9));
	assert_ptr_equal(schedule_take_waiting(d), &jobs[1]);
	assert_int_equal(t->waiting, 3 - 1);
	schedule_revive(s);
	assert_false(schedule_is_dead(d, 6));
	assert_ptr_equal(schedule_next(t, 6), &jobs[2]);
	schedule_done(&jobs[2], SCHEDULE_OK, 6);
	assert_true(d->window.size == 2);
	assert_ptr_equal(schedule_next(t, 6), &jobs[3]);
	assert_null(schedule_take_waiting(d));
	assert_int_equal(t->waiting, 0);
	assert_int_equal(t->senders_waiting, 0);
	schedule_free(&s);
}

/* Runs one after the other: the order in which the messages' jobs start, as letters. */
static void run_all(struct transport *t, char *order, size_t size)
{
	struct job *job;
	size_t len = 0;

	while ((job = schedule_next(t, 10))) {
		assert_true(len + 1 < size);
		order[len++] = *(char *)job->message;
		schedule_done(job, SCHEDULE_OK, 10);
	}
	order[len] = '\0';
}

static void add_many(struct destination *d, struct job *jobs, int count, char *name, double queued)
{
	for (int i = 0; i < count; i++) {
		jobs[i] = (struct job){ .message = name, .queued = queued };
		schedule_add(d, &jobs[i]);
	}
}

/* A small one overtakes a big list; a big one earns the place of those that go before it. */
static void test_preemption(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, single);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job big[200], small[1], other[20], few[10];
	char names[] = "LsMf", order[400];

	add_many(d, big, 100, &names[0], 0);
	add_many(d, small, 1, &names[1], 9);
	run_all(t, order, sizeof(order));
	assert_memory_equal(order, "sLLL", 4);
	/* Twenty need ten slots but for the loan of three: seven, 35 jobs of the big one. */
	add_many(d, big, 100, &names[0], 0);
	add_many(d, other, 20, &names[2], 9);
	run_all(t, order, sizeof(order));
	for (int i = 0; i < 100 + 20; i++)
		assert_int_equal(order[i], i >= 35 && i < 55 ? 'M' : 'L');
	/* Ten jobs never earn three slots. */
	add_many(d, few, 10, &names[3], 0);
	add_many(d, small, 1, &names[1], 9);
	run_all(t, order, sizeof(order));
	assert_string_equal(order, "ffffffffffs");
	schedule_free(&s);
}

/* A mass of small ones does not starve the big one. */
static void test_big_one_goes_on(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, single);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	static struct job big[100], small[90];
	static char names[91];
	char order[400];
	int before = 0;

	names[90] = 'L';
	add_many(d, big, 100, &names[90], 0);
	for (int i = 0; i < 90; i++) {
		names[i] = 's';
		add_many(d, &small[i], 1, &names[i], 9);
	}
	run_all(t, order, sizeof(order));
	for (int i = 0; i < 60; i++)
		before += order[i] == 's';
	/* About one in six, and the loan. */
	assert_in_range(before, 10, 20);
	schedule_free(&s);
}

static struct destination_limits delayed(const char *name)
{
	return (struct destination_limits){ .window = { 5, 5, ONE, ONE, 1 }, .rest = 10, .rate_delay = 3 };
}

static void test_rate_delay(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, delayed);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job jobs[3] = { 0 };

	for (int i = 0; i < 3; i++)
		schedule_add(d, &jobs[i]);
	assert_ptr_equal(schedule_next(t, 1), &jobs[0]);
	assert_null(schedule_next(t, 1)); /* one at a time */
	schedule_done(&jobs[0], SCHEDULE_OK, 2);
	assert_null(schedule_next(t, 4.9));
	assert_true(t->wake == 5);
	assert_ptr_equal(schedule_next(t, 5), &jobs[1]);
	schedule_done(&jobs[1], SCHEDULE_OK, 5);
	schedule_rest(d, 20);
	assert_null(schedule_next(t, 19));
	assert_true(t->wake == 20);
	assert_ptr_equal(schedule_next(t, 20), &jobs[2]);
	schedule_done(&jobs[2], SCHEDULE_OK, 20);
	schedule_forget_if_idle(s, d, 22); /* owes a pause */
	assert_int_equal(t->destinations, 1);
	schedule_forget_if_idle(s, d, 24);
	assert_int_equal(t->destinations, 0);
	schedule_free(&s);
}

static long two_a_minute(const char *name, struct slice nexthop, double *period)
{
	*period = 60;
	return slice_eq(nexthop, SLICE("slow")) ? 2 : 0;
}

static struct destination_limits rated(const char *name)
{
	return (struct destination_limits){ .window = { 5, 5, ONE, ONE, 1 }, .rest = 10, .rate = two_a_minute };
}

static void test_message_rate(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, rated);
	struct destination *slow = schedule_destination(s, t, SLICE("slow")), *fast = schedule_destination(s, t, SLICE("fast"));
	struct job jobs[5] = { 0 }, more[5] = { 0 };
	size_t count = 0;

	for (int i = 0; i < 5; i++) {
		schedule_add(slow, &jobs[i]);
		schedule_add(fast, &more[i]);
	}
	while (schedule_next(t, 100))
		count++;
	assert_int_equal(count, 5 + 2);
	assert_int_equal(slow->waiting, 3);
	assert_true(t->wake == 160);
	assert_null(schedule_next(t, 159));
	assert_ptr_equal(schedule_next(t, 160), &jobs[2]);
	assert_ptr_equal(schedule_next(t, 170), &jobs[3]);
	assert_null(schedule_next(t, 219));
	assert_ptr_equal(schedule_next(t, 220), &jobs[4]);
	schedule_free(&s);
}

static struct destination_limits transport_delay(const char *name)
{
	return (struct destination_limits){ .window = { 5, 5, ONE, ONE, 1 }, .transport_rate_delay = 2 };
}

static void test_transport_rate_delay(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, transport_delay);
	struct job jobs[2] = { 0 };

	schedule_add(schedule_destination(s, t, SLICE("a")), &jobs[0]);
	schedule_add(schedule_destination(s, t, SLICE("b")), &jobs[1]);
	assert_ptr_equal(schedule_next(t, 1), &jobs[0]);
	assert_null(schedule_next(t, 2));
	assert_true(t->wake == 3);
	assert_ptr_equal(schedule_next(t, 3), &jobs[1]);
	schedule_free(&s);
}

static struct destination_limits shared(const char *name)
{
	return (struct destination_limits){ .window = { 100, 100, ONE, ONE, 1 }, .sender_share = 50 };
}

static void test_sender_share(void **state)
{
	struct schedule *s;
	struct transport *t = transport(&s, shared);
	struct destination *d = schedule_destination(s, t, SLICE("a")), *e = schedule_destination(s, t, SLICE("b"));
	struct job greedy[30] = { 0 }, modest = { .from = SLICE("m"), .message = &modest };
	size_t count = 0;

	t->capacity = 10;
	for (int i = 0; i < 30; i++) {
		greedy[i].from = SLICE("g");
		schedule_add(i % 2 ? d : e, &greedy[i]);
	}
	/* Alone it may have all. */
	for (; count < 8; count++)
		assert_non_null(schedule_next(t, 0));
	schedule_add(d, &modest);
	assert_ptr_equal(schedule_next(t, 0), &modest);
	/* Nobody else waits any more. */
	assert_non_null(schedule_next(t, 0));
	modest.from = SLICE("m");
	schedule_done(&modest, SCHEDULE_OK, 0);
	for (int i = 0; i < 3; i++)
		schedule_done(&greedy[i], SCHEDULE_OK, 0);
	schedule_add(e, &modest);
	assert_ptr_equal(schedule_next(t, 0), &modest);
	assert_int_equal(t->senders_waiting, 1);
	schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations_take_turns),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_feedback),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_dead_and_revived),
		cmocka_unit_test(test_preemption),
		cmocka_unit_test(test_big_one_goes_on),
		cmocka_unit_test(test_rate_delay),
		cmocka_unit_test(test_message_rate),
		cmocka_unit_test(test_transport_rate_delay),
		cmocka_unit_test(test_sender_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
