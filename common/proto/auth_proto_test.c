/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/proto/auth_proto.h"

/* What was put, as it arrives. */
static struct ipc_in sent(const struct ipc_out *m)
{
	struct ipc_in in = { .type = (uint16_t)(m->data[0] | m->data[1] << 8), .data = m->data, .len = m->len };

	assert_false(m->failed);
	assert_true(ipc_valid(m->data, m->len));
	return in;
}

static bool same(struct slice text, const char *wanted)
{
	return slice_eq(text, slice_of(wanted));
}

static void test_answers(void **state)
{
	struct auth_answer got, fail = { .type = AUTH_FAIL, .text = SLICE("no"), .user = SLICE("bob"),
					 .reason = AUTH_REASON_BUSY, .temporary = true };
	struct ipc_out m;
	struct ipc_in in;

	assert_true(auth_put_answer(&m, 1, &fail));
	in = sent(&m);
	assert_true(auth_get_answer(&in, &got));
	assert_true(same(got.text, "no") && same(got.user, "bob") && got.temporary && got.reason == AUTH_REASON_BUSY);
	assert_true(auth_put_answer(&m, 1, &(struct auth_answer){ .type = AUTH_OK, .text = SLICE("bob") }));
	in = sent(&m);
	assert_true(auth_get_answer(&in, &got) && got.type == AUTH_OK && same(got.text, "bob"));
	/* A user that would break a header or a log line. */
	assert_true(auth_put_answer(&m, 1, &(struct auth_answer){ .type = AUTH_OK, .text = SLICE("bob\nann") }));
	in = sent(&m);
	assert_false(auth_get_answer(&in, &got));
	assert_true(auth_put_answer(&m, 1, &(struct auth_answer){ .type = AUTH_OK }));
	in = sent(&m);
	assert_false(auth_get_answer(&in, &got));
	assert_true(auth_put_answer(&m, 1, &(struct auth_answer){ .type = AUTH_CHALLENGE }));
	in = sent(&m);
	assert_true(auth_get_answer(&in, &got) && got.type == AUTH_CHALLENGE && got.text.len == 0);
}

static void test_mechanisms(void **state)
{
	struct auth_mechanism list[AUTH_MECHANISMS_MAX] = { { SLICE("PLAIN"), 7 }, { SLICE("SCRAM-SHA-256"), 36 } };
	struct auth_mechanism many[AUTH_MECHANISMS_MAX + 1];
	struct ipc_out m;
	struct ipc_in in;
	size_t count;

	assert_true(auth_put_mechanisms(&m, 1, list, 2));
	in = sent(&m);
	memset(list, 0, sizeof(list));
	assert_true(auth_get_mechanisms(&in, list, &count));
	assert_int_equal(count, 2);
	assert_true(same(list[1].name, "SCRAM-SHA-256") && list[1].properties == 36);
	for (size_t i = 0; i <= AUTH_MECHANISMS_MAX; i++)
		many[i] = (struct auth_mechanism){ SLICE("PLAIN"), 7 };
	assert_true(auth_put_mechanisms(&m, 1, many, AUTH_MECHANISMS_MAX + 1));
	in = sent(&m);
	assert_false(auth_get_mechanisms(&in, list, &count));
	many[0].name = SLICE("PLA IN");
	assert_true(auth_put_mechanisms(&m, 1, many, 1));
	in = sent(&m);
	assert_false(auth_get_mechanisms(&in, list, &count));
}

static void test_counted(void **state)
{
	struct auth_verdict v = { AUTH_OVER_RECIPIENTS, 5, 60 }, got;
	struct ipc_out m;
	struct ipc_in in;

	assert_true(auth_put_counted(&m, 1, &v));
	in = sent(&m);
	assert_true(auth_get_counted(&in, &got) && got.over == v.over && got.limit == 5 && got.seconds == 60);
	v.over = 9;
	assert_true(auth_put_counted(&m, 1, &v));
	in = sent(&m);
	assert_false(auth_get_counted(&in, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers), cmocka_unit_test(test_mechanisms),
					    cmocka_unit_test(test_counted) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
