/* SPDX-License-Identifier: ISC */
/* Unit tests of str, slice, arena, cursor, err and log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/cursor.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"

static void test_str_grows_and_stays_terminated(void **state)
{
	struct str s = { 0 };

	assert_string_equal(str_cstr(&s), "");
	for (int i = 0; i < 1000; i++)
		str_printf(&s, "%d,", i);
	assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(s.data[s.len], '\0');
	str_truncate(&s, 4);
	str_append_lower(&s, SLICE("ABC"));
	assert_string_equal(str_cstr(&s), "0,1,abc");
	str_free(&s);
	assert_null(s.data);
}

static void test_slice_words_and_cuts(void **state)
{
	struct slice s = SLICE(" a, bc\td "), word;

	assert_true(slice_word(&s, " ,\t", &word) && slice_eq(word, SLICE("a")));
	assert_true(slice_word(&s, " ,\t", &word) && slice_eq(word, SLICE("bc")));
	assert_true(slice_word(&s, " ,\t", &word) && slice_eq(word, SLICE("d")));
	assert_false(slice_word(&s, " ,\t", &word));
	s = SLICE("key=value=x");
	assert_true(slice_cut(&s, '=', &word));
	assert_true(slice_eq(word, SLICE("key")) && slice_eq(s, SLICE("value=x")));
	assert_true(slice_eq(slice_trim(SLICE("\r\n x \t")), SLICE("x")));
	assert_true(slice_ends_nocase(SLICE("Mail.Example.COM"), SLICE(".example.com")));
	assert_true(slice_eq(slice_sub(SLICE("abc"), 5, 9), SLICE("")));
}

static void test_slice_numbers(void **state)
{
	uint64_t u;
	int64_t i;

	assert_true(slice_to_u64(SLICE("18446744073709551615"), &u));
	assert_int_equal(u, UINT64_MAX);
	assert_false(slice_to_u64(SLICE("18446744073709551616"), &u));
	assert_false(slice_to_u64(SLICE(""), &u));
	assert_false(slice_to_u64(SLICE("+1"), &u));
	assert_false(slice_to_u64(SLICE("1 "), &u));
	assert_true(slice_to_i64(SLICE("-42"), &i));
	assert_int_equal(i, -42);
}

static void test_arena_is_zeroed_after_reset(void **state)
{
	struct arena *arena = arena_create(64);

	for (int round = 0; round < 3; round++) {
		for (size_t size = 1; size < 3000; size += 97) {
			unsigned char *p = arena_alloc(arena, size);

			for (size_t i = 0; i < size; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, size);
		}
		arena_reset(arena);
		assert_int_equal(arena_used(arena), 0);
	}
	assert_string_equal(arena_printf(arena, "%s-%d", "x", 5), "x-5");
	arena_free(&arena);
	assert_null(arena);
}

static void test_cursor_error_sticks(void **state)
{
	static const uint8_t raw[] = { 1, 2, 3, 4, 5 };
	struct cursor c = cursor_make(raw, sizeof(raw));

	assert_int_equal(cursor_u16_be(&c), 0x0102);
	assert_int_equal(cursor_u16(&c), 0x0403);
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_left(&c), 0);
	c = cursor_make(raw, sizeof(raw));
	assert_int_equal(cursor_bytes(&c, SIZE_MAX).len, 0);
	assert_true(c.failed);
}

static void test_packer_refuses_what_does_not_fit(void **state)
{
	uint8_t buf[6];
	struct packer p = packer_make(buf, sizeof(buf));

	packer_u32(&p, 0x01020304);
	packer_u32(&p, 1);
	assert_true(p.failed);
	assert_int_equal(p.len, 4);
	assert_int_equal(buf[0], 4);
}

static void test_file_reads_and_writes_all(void **state)
{
	char name[] = "/tmp/base_test.XXXXXX", buf[8];
	struct str text = { 0 };
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_true(file_write(fd, SLICE("hello")));
	assert_true(file_write_at(fd, SLICE("y, all"), 4));
	assert_int_equal(file_read_at(fd, buf, sizeof(buf), 4), 6);
	assert_memory_equal(buf, "y, all", 6);
	assert_int_equal(file_read_at(fd, buf, sizeof(buf), 100), 0);
	str_append(&text, SLICE("> "));
	assert_true(file_read_all(fd, 10, &text));
	assert_string_equal(str_cstr(&text), "> helly, all");
	assert_false(file_read_all(fd, 9, &text));
	assert_int_equal(errno, EFBIG);
	close(fd);
	assert_int_equal(file_read_at(fd, buf, 1, 0), -1);
	assert_false(file_write(fd, SLICE("x")));
	assert_true(file_write(fd, (struct slice){ 0 }));
	/* Larger than a piece, and a device that is full. */
	str_clear(&text);
	for (int i = 0; i < 40000; i++)
		str_append(&text, SLICE("0123456789"));
	fd = memfd_create("base_test", 0);
	assert_true(file_write_at(fd, str_slice(&text), 0));
	str_clear(&text);
	assert_true(file_read_all(fd, 400000, &text));
	assert_int_equal(text.len, 400000);
	close(fd);
	fd = open("/dev/full", O_WRONLY);
	assert_false(file_write(fd, SLICE("x")));
	assert_int_equal(errno, ENOSPC);
	close(fd);
	str_free(&text);
}

static void test_crc32c_check_value(void **state)
{
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_err_prefix(void **state)
{
	struct err err;

	errno = ENOENT;
	assert_false(err_set_errno(&err, ERR_TEMPORARY, "open %s", "x"));
	assert_false(err_prefix(&err, "table"));
	assert_string_equal(err.text, "table: open x: No such file or directory");
}

static void test_log_hides_controls(void **state)
{
	int fd[2];
	char line[4096];

	assert_int_equal(pipe(fd), 0);
	log_open("postfix/test", fd[1], false);
	log_info("a\nb\033[1m\xc2\x9b\xff \xc3\xa9");
	ssize_t len = read(fd[0], line, sizeof(line) - 1);

	assert_true(len > 0);
	line[len] = '\0';
	assert_non_null(strstr(line, " postfix/test["));
	assert_non_null(strstr(line, "]: a?b?[1m??? \xc3\xa9\n"));
	close(fd[0]);
	close(fd[1]);
	log_open("test", -1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_grows_and_stays_terminated),
		cmocka_unit_test(test_slice_words_and_cuts),
		cmocka_unit_test(test_slice_numbers),
		cmocka_unit_test(test_arena_is_zeroed_after_reset),
		cmocka_unit_test(test_cursor_error_sticks),
		cmocka_unit_test(test_packer_refuses_what_does_not_fit),
		cmocka_unit_test(test_file_reads_and_writes_all),
		cmocka_unit_test(test_crc32c_check_value),
		cmocka_unit_test(test_err_prefix),
		cmocka_unit_test(test_log_hides_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
