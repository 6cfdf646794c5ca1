/* SPDX-License-Identifier: ISC */
/* Questions and answers of proxymap survive the way, also those too large for a packet; bad ones do not. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/str.h"
#include "common/proto/proxymap_proto.h"

static struct ipc_in arrived(const struct ipc_out *m, uint16_t type)
{
	struct ipc_in in = { .type = type, .data = m->data, .len = m->len, .fd_count = m->fd_count };

	for (int i = 0; i < m->fd_count; i++)
		in.fds[i] = m->fds[i];
	return in;
}

static void a_question_survives(void **state)
{
	struct proxymap_question question = { SLICE("proxy:pgsql:/x"), SLICE("a\0'b") }, got;
	struct ipc_out m;
	struct ipc_in in;

	assert_true(proxymap_put_question(&m, 1, &question));
	in = arrived(&m, PROXYMAP_LOOKUP);
	assert_true(proxymap_get_question(&in, &got));
	assert_true(slice_eq(got.table, question.table) && slice_eq(got.key, question.key));
	in.type = PROXYMAP_ANSWER;
	assert_false(proxymap_get_question(&in, &got));
}

static void long_questions_are_refused(void **state)
{
	static char text[PROXYMAP_KEY_MAX + 1];
	struct proxymap_question question = { SLICE("pgsql:/x"), slice_make(text, sizeof(text)) }, got;
	struct ipc_out m;
	struct ipc_in in;

	assert_false(proxymap_put_question(&m, 1, &question));
	question = (struct proxymap_question){ slice_make(text, PROXYMAP_TABLE_MAX + 1), SLICE("k") };
	assert_false(proxymap_put_question(&m, 1, &question));
	/* Nor does who receives rely on the sender. */
	ipc_out_start(&m, PROXYMAP_LOOKUP, 1);
	ipc_put_bytes(&m, 1, question.table);
	ipc_put_bytes(&m, 2, question.key);
	in = arrived(&m, PROXYMAP_LOOKUP);
	assert_false(proxymap_get_question(&in, &got));
}

static void answers_of_any_size_survive(void **state)
{
	static const size_t sizes[] = { 0, 1, 59999, 60000, 60001, 1 << 20 };
	struct arena *arena = arena_create(0);
	char *text = malloc(1 << 20);

	memset(text, 'v', 1 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct proxymap_answer answer = { PROXYMAP_FOUND, slice_make(text, sizes[i]) }, got;
		struct ipc_out m;
		struct ipc_in in;
		struct err err;

		assert_true(proxymap_put_answer(&m, 1, &answer));
		in = arrived(&m, PROXYMAP_ANSWER);
		assert_true(proxymap_get_answer(&in, arena, &got, &err));
		assert_int_equal(got.status, PROXYMAP_FOUND);
		assert_true(slice_eq(got.text, answer.text));
		for (int f = 0; f < m.fd_count; f++)
			close(m.fds[f]);
	}
	free(text);
	arena_free(&arena);
}

/* A file that can change, or is of another size than said, is not read: nor is a pipe, which could block. */
static void only_sealed_files_are_read(void **state)
{
	struct arena *arena = arena_create(0);
	int file = memfd_create("x", MFD_ALLOW_SEALING), ends[2];
	struct proxymap_answer got;
	struct ipc_out m;
	struct ipc_in in;
	struct err err;

	assert_int_equal(write(file, "value", 5), 5);
	assert_int_equal(pipe(ends), 0);
	ipc_out_start(&m, PROXYMAP_ANSWER, 1);
	ipc_put_u64(&m, 3, PROXYMAP_FOUND);
	ipc_put_u64(&m, 5, 5);
	in = arrived(&m, PROXYMAP_ANSWER);
	assert_false(proxymap_get_answer(&in, arena, &got, &err));
	in.fd_count = 1;
	in.fds[0] = ends[0];
	assert_false(proxymap_get_answer(&in, arena, &got, &err));
	in.fds[0] = file;
	assert_false(proxymap_get_answer(&in, arena, &got, &err));
	assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	assert_true(proxymap_get_answer(&in, arena, &got, &err));
	assert_true(slice_eq(got.text, SLICE("value")));
	ipc_out_start(&m, PROXYMAP_ANSWER, 1);
	ipc_put_u64(&m, 3, PROXYMAP_FOUND);
	ipc_put_u64(&m, 5, 6);
	in = arrived(&m, PROXYMAP_ANSWER);
	in.fd_count = 1;
	in.fds[0] = file;
	assert_false(proxymap_get_answer(&in, arena, &got, &err));
	assert_int_equal(got.status, PROXYMAP_ERROR);
	close(file);
	close(ends[0]);
	close(ends[1]);
	arena_free(&arena);
}

static void an_answer_has_a_known_status(void **state)
{
	struct arena *arena = arena_create(0);
	struct proxymap_answer got;
	struct err err;

	for (uint64_t status = 0; status < 6; status++) {
		struct ipc_out m;
		struct ipc_in in;

		ipc_out_start(&m, PROXYMAP_ANSWER, 1);
		ipc_put_u64(&m, 3, status);
		ipc_put_text(&m, 4, "x");
		in = arrived(&m, PROXYMAP_ANSWER);
		assert_int_equal(proxymap_get_answer(&in, arena, &got, &err),
				 status >= PROXYMAP_FOUND && status <= PROXYMAP_ERROR);
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_survives),
		cmocka_unit_test(long_questions_are_refused),
		cmocka_unit_test(answers_of_any_size_survive),
		cmocka_unit_test(only_sealed_files_are_read),
		cmocka_unit_test(an_answer_has_a_known_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
