/* SPDX-License-Identifier: ISC */
/* What is put is got; what is out of form is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/proto/anvil_proto.h"

static struct ipc_in received(const struct ipc_out *out)
{
	struct ipc_in in = { .type = (uint16_t)(out->data[0] | out->data[1] << 8), .data = out->data, .len = out->len };

	assert_true(ipc_valid(out->data, out->len));
	return in;
}

static void test_round_trip(void **state)
{
	struct anvil_who who = { SLICE("smtp"), SLICE("2001:db8::/64") }, got;
	struct anvil_counts counts = { 7, 9 }, got_counts;
	enum anvil_event event;
	struct ipc_out out;
	struct ipc_in in;
	struct err err;

	assert_true(anvil_put_count(&out, 3, &who, ANVIL_AUTH));
	in = received(&out);
	assert_true(anvil_get_count(&in, &got, &event, &err));
	assert_true(slice_eq(got.client, who.client) && slice_eq(got.service, who.service));
	assert_int_equal(event, ANVIL_AUTH);
	assert_false(anvil_get_leave(&in, &got, &err));
	assert_true(anvil_put_counted(&out, 3, &counts));
	in = received(&out);
	assert_true(anvil_get_counted(&in, &got_counts, &err));
	assert_int_equal(got_counts.connections, 7);
	assert_int_equal(got_counts.rate, 9);
	assert_true(anvil_put_leave(&out, &who));
	in = received(&out);
	assert_true(anvil_get_leave(&in, &got, &err));
}

static void test_out_of_form(void **state)
{
	struct anvil_who bad[] = { { SLICE(""), SLICE("a") }, { SLICE("a"), SLICE("") }, { SLICE("a b"), SLICE("c") },
				   { SLICE("a"), SLICE("\n") }, { SLICE("a"), SLICE("\xff") } };
	struct anvil_who good = { SLICE("a"), SLICE("b") }, got;
	enum anvil_event event;
	struct ipc_out out;
	struct ipc_in in;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(anvil_put_count(&out, 1, &bad[i], ANVIL_CONNECT));
		in = received(&out);
		assert_false(anvil_get_count(&in, &got, &event, &err));
		assert_true(anvil_put_leave(&out, &bad[i]));
		in = received(&out);
		assert_false(anvil_get_leave(&in, &got, &err));
	}
	assert_true(anvil_put_count(&out, 1, &good, ANVIL_EVENTS));
	in = received(&out);
	assert_false(anvil_get_count(&in, &got, &event, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip), cmocka_unit_test(test_out_of_form) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
