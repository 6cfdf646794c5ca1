/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "qmgr/deferred.h"

#define MANY 5000

static void test_due_in_order_of_time(void **state)
{
	struct deferred *d = deferred_create();
	bool flushed;
	char id[MESSAGE_ID_SIZE];
	double last = -1;
	size_t taken = 0;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "ID%u", i);
		deferred_put(d, slice_of(id), (double)(i * 7919u % 1000));
	}
	for (unsigned i = 0; i < MANY; i += 3) {
		snprintf(id, sizeof(id), "ID%u", i);
		assert_true(deferred_remove(d, slice_of(id)));
		assert_false(deferred_has(d, slice_of(id)));
	}
	for (unsigned i = 1; i < MANY; i += 3) {
		snprintf(id, sizeof(id), "ID%u", i);
		deferred_put(d, slice_of(id), (double)(i * 104729u % 1000));
	}
	assert_false(deferred_take_due(d, -1, id, &flushed));
	while (deferred_count(d) > 0) {
		double time = deferred_next_time(d);

		assert_true(time >= last);
		last = time;
		assert_true(deferred_take_due(d, time, id, &flushed));
		taken++;
	}
	assert_int_equal(taken, MANY - (MANY + 2) / 3);
	deferred_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due_in_order_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
