/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations_take_turns),
		cmocka_unit_test(test_window_has_a_limit_and_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
