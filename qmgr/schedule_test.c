/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "qmgr/schedule.h"

static struct destination_limits limits(const char *name)
{
	return (struct destination_limits){ 2, 4, 60 };
}

static void test_destinations_take_turns(void **state)
{
	struct schedule *s = schedule_create();
	struct transport *t = schedule_transport(s, SLICE("smtp"), limits);
	struct destination *a = schedule_destination(s, t, SLICE("a")), *b = schedule_destination(s, t, SLICE("B"));
	struct job jobs[6] = { 0 };

	assert_ptr_equal(schedule_destination(s, t, SLICE("b")), b);
	for (int i = 0; i < 5; i++)
		schedule_add(a, &jobs[i]);
	schedule_add(b, &jobs[5]);
	assert_ptr_equal(schedule_next(t), &jobs[0]);
	assert_ptr_equal(schedule_next(t), &jobs[5]); /* overtakes the long list of a */
	assert_ptr_equal(schedule_next(t), &jobs[1]);
	assert_null(schedule_next(t));                /* the window of a is 2 */
	schedule_done(s, a, SCHEDULE_OK, 0);          /* 3 */
	assert_ptr_equal(schedule_next(t), &jobs[2]);
	assert_ptr_equal(schedule_next(t), &jobs[3]);
	assert_null(schedule_next(t));
	schedule_free(&s);
}

static void test_window_has_a_limit_and_closes(void **state)
{
	struct schedule *s = schedule_create();
	struct transport *t = schedule_transport(s, SLICE("smtp"), limits);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job job = { 0 };

	for (int i = 0; i < 10; i++) {
		schedule_add(d, &job);
		assert_ptr_equal(schedule_next(t), &job);
		schedule_done(s, d, SCHEDULE_OK, 0);
	}
	assert_true(d->window == 4);
	for (int i = 0; i < 4; i++) {
		assert_false(schedule_is_dead(d, 100));
		schedule_add(d, &job);
		assert_ptr_equal(schedule_next(t), &job);
		schedule_done(s, d, SCHEDULE_UNREACHABLE, 100);
	}
	assert_true(schedule_is_dead(d, 159));
	assert_false(schedule_is_dead(d, 161));
	schedule_forget_if_idle(s, d, 120);
	assert_int_equal(t->destinations, 1);
	schedule_forget_if_idle(s, d, 200);
	assert_int_equal(t->destinations, 0);
	assert_null(t->first);
	schedule_free(&s);
}

/* Dead and idle destinations do not pile up; those with jobs stay, and the circle stays whole. */
static void test_sweep(void **state)
{
	struct schedule *s = schedule_create();
	struct transport *t = schedule_transport(s, SLICE("smtp"), limits);
	struct transport *other = schedule_transport(s, SLICE("lmtp"), limits);
	struct destination *busy, *waiting;
	struct job jobs[2] = { 0 }, job = { 0 };
	char name[16];

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		struct destination *d = schedule_destination(s, i % 7 ? t : other, slice_of(name));

		schedule_add(d, &job);
		assert_ptr_equal(schedule_next(d->transport), &job);
		if (i % 3)
			schedule_done(s, d, SCHEDULE_OK, 0);
		else
			for (d->window = 1; !schedule_is_dead(d, 1); d->running++)
				schedule_done(s, d, SCHEDULE_UNREACHABLE, 0);
		d->running = 0;
	}
	busy = schedule_destination(s, t, SLICE("d1"));
	waiting = schedule_destination(s, t, SLICE("d2"));
	schedule_add(busy, &jobs[0]);
	assert_ptr_equal(schedule_next(t), &jobs[0]);
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
	assert_ptr_equal(schedule_next(t), &jobs[1]);
	schedule_done(s, busy, SCHEDULE_OK, 61);
	schedule_done(s, waiting, SCHEDULE_OK, 61);
	schedule_sweep(s, 61);
	assert_null(t->first);
	schedule_free(&s);
}

static struct destination_limits narrow(const char *name)
{
	return (struct destination_limits){ 1, 0, 10 };
}

/* Back-off: what waits for a dead site is handed back, a flush revives it, one success forgives all. */
static void test_dead_and_revived(void **state)
{
	struct schedule *s = schedule_create();
	struct transport *t = schedule_transport(s, SLICE("smtp"), narrow);
	struct destination *d = schedule_destination(s, t, SLICE("x"));
	struct job jobs[4] = { 0 };

	for (int i = 0; i < 4; i++)
		schedule_add(d, &jobs[i]);
	assert_int_equal(t->waiting, 4);
	assert_ptr_equal(schedule_next(t), &jobs[0]);
	assert_null(schedule_next(t));
	schedule_done(s, d, SCHEDULE_UNREACHABLE, 5);
	assert_true(schedule_is_dead(d, 14.9));
	assert_ptr_equal(schedule_take_waiting(d), &jobs[1]);
	assert_int_equal(t->waiting, 3 - 1);
	schedule_revive(s);
	assert_false(schedule_is_dead(d, 6));
	assert_ptr_equal(schedule_next(t), &jobs[2]);
	schedule_done(s, d, SCHEDULE_OK, 6);
	assert_true(d->window == 2);
	assert_ptr_equal(schedule_next(t), &jobs[3]);
	/* No limit: it goes on opening. */
	for (int i = 0; i < 1000; i++, d->running++)
		schedule_done(s, d, SCHEDULE_OK, 6);
	assert_true(d->window == 1002);
	assert_null(schedule_take_waiting(d));
	assert_int_equal(t->waiting, 0);
	schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations_take_turns),
		cmocka_unit_test(test_window_has_a_limit_and_closes),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_dead_and_revived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
