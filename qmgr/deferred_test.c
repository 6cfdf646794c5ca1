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

static void test_sites(void **state)
{
	const uint32_t a[] = { 7, 9 }, any[] = { 0 };
	struct deferred *d = deferred_create();
	char id[MESSAGE_ID_SIZE];
	bool flushed;

	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "ID%d", i);
		deferred_put(d, slice_of(id), 1000 + i * 7 % 100);
		assert_false(deferred_all_known(d));
		deferred_set_sites(d, slice_of(id), i % 10 == 3 ? a : any, i % 10 == 3 ? 2 : 0);
	}
	assert_true(deferred_all_known(d));
	deferred_set_sites(d, SLICE("ID50"), any, 1);
	deferred_set_sites(d, SLICE("none"), any, 1);
	assert_int_equal(deferred_flush_site(d, 8, 5), 1);
	assert_int_equal(deferred_flush_site(d, 9, 10), 11);
	for (int i = 0; i < 11; i++) {
		assert_true(deferred_take_due(d, 10, id, &flushed));
		assert_true(flushed && (id[3] == '3' || strcmp(id, "ID50") == 0 || strcmp(id, "ID3") == 0));
	}
	assert_false(deferred_take_due(d, 10, id, &flushed));
	assert_true(deferred_take_due(d, 1000, id, &flushed));
	assert_false(flushed);
	deferred_put(d, SLICE("new"), 1);
	assert_false(deferred_all_known(d));
	assert_true(deferred_remove(d, SLICE("new")));
	assert_true(deferred_all_known(d));
	deferred_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sites), cmocka_unit_test(test_due_in_order_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
