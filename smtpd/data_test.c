/* SPDX-License-Identifier: ISC */
/* DATA and BDAT through the whole engine: smuggling, sizes, chunks, trouble with the file. */
#include "tests/support/smtpd_world.h"

#include <fcntl.h>

#define TO   "EHLO c\r\nMAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\n"
#define EVIL "MAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\nDATA\r\nevil\r\n.\r\n"

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

/* Each string of up to five of these bytes in the middle of a message: only CRLF.CRLF ends it. */
static void test_smuggling_by_data(void **state)
{
	static const char alphabet[] = "\r\n. ";
	struct world w;

	world_make(&w);
	w.settings.message_size_limit = 0;
	for (size_t len = 1; len <= 5; len++) {
		for (size_t number = 0; number < (size_t)1 << (2 * len); number++) {
			struct str input = { 0 }, body = { 0 };

			str_append_text(&body, "body");
			for (size_t i = 0; i < len; i++)
				str_append_byte(&body, alphabet[number >> (2 * i) & 3]);
			bool ended = strstr(str_cstr(&body), "\r\n.\r\n") != NULL;

			str_printf(&input, TO "DATA\r\n%s" EVIL "QUIT\r\n", str_cstr(&body));
			/* All at once, and a byte at a time. */
			w.m.by_line = false;
			w.m.piece = number % 2;
			world_say(&w, str_slice(&input));
			assert_int_equal(w.committed, ended ? 2 : 1);
			assert_int_equal(count(str_cstr(&w.story), "S<evil"), ended);
			str_free(&input);
			str_free(&body);
		}
	}
	world_free(&w);
}

static void test_smuggling_by_bdat(void **state)
{
	static const char *const bodies[] = { "\r\n.\r\n", "\n.\n", ".\r\n", "\r.\r", "\n.\r\n" };
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct str input = { 0 }, body = { 0 };

		str_printf(&body, "body%s" EVIL, bodies[i]);
		str_printf(&input, TO "BDAT %zu\r\n%sBDAT 0 LAST\r\nQUIT\r\n", body.len, str_cstr(&body));
		w.m.by_line = false;
		for (w.m.piece = 0; w.m.piece < 4; w.m.piece++) {
			assert_string_equal(world_codes(&w, str_cstr(&input)), "220 250 250 250 250 250 221");
			assert_int_equal(w.committed, 1);
			assert_int_equal(count(str_cstr(&w.story), "S<evil"), 0);
		}
		str_free(&input);
		str_free(&body);
	}
	world_free(&w);
}

static void test_bare_line_feeds(void **state)
{
	static const struct {
		enum bare_lf mode;
		const char *code;
	} cases[] = { { BARE_LF_ALLOW, "250" }, { BARE_LF_NORMALIZE, "250" }, { BARE_LF_REJECT, "550" } };
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < 3; i++) {
		const char *codes;

		w.settings.bare_lf = cases[i].mode;
		codes = world_codes(&w, TO "DATA\r\na\nb\r\n.\r\n");
		assert_string_equal(codes + strlen(codes) - 3, cases[i].code);
		codes = world_codes(&w, TO "BDAT 4 LAST\r\na\nb\n");
		assert_string_equal(codes + strlen(codes) - 3, cases[i].code);
		codes = world_codes(&w, TO "DATA\r\na\r\n.\r\n");
		assert_string_equal(codes + strlen(codes) - 3, "250");
	}
	world_free(&w);
}

static void test_what_is_stored(void **state)
{
	static const struct {
		const char *sent, *stored;
	} cases[] = {
		{ "DATA\r\n.\r\n", "[0] " },
		{ "DATA\r\n\r\n.\r\n", "[2] \r\n" },
		{ "DATA\r\na\r\n..\r\n.b\r\n.\r\n", "[9] a\r\n.\r\nb\r\n" },
		{ "DATA\r\na\nb\rc\r\n.\r\n", "[8] a\r\nb c\r\n" },
		{ "BDAT 0 LAST\r\n", "[0] " },
		{ "BDAT 5 LAST\r\n..\r\na", "[7] ..\r\na\r\n" },
		{ "BDAT 2\r\na\rBDAT 3 LAST\r\n\nb\n", "[6] a\r\nb\r\n" },
		{ "BDAT 1\r\na" "BDAT 1\r\nb" "BDAT 1 LAST\r\nc", "[5] abc\r\n" },
		{ "bdat 2 last\r\n\r\n", "[2] \r\n" },
	};
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (w.m.piece = 0; w.m.piece < 3; w.m.piece++) {
			struct str input = { 0 }, want = { 0 };

			str_printf(&input, TO "%s", cases[i].sent);
			str_printf(&want, "S<s@x> R<a@x> %s\n", cases[i].stored);
			world_codes(&w, str_cstr(&input));
			assert_string_equal(str_cstr(&w.story), str_cstr(&want));
			str_free(&input);
			str_free(&want);
		}
	}
	world_free(&w);
}

static void test_bdat_and_other_commands(void **state)
{
	static const struct {
		const char *said, *codes;
		size_t committed;
	} cases[] = {
		{ "BDAT 1\r\naDATA\r\nBDAT 1 LAST\r\nb", "250 503 250", 1 },
		{ "BDAT 1\r\naRCPT TO:<b@x>\r\nBDAT 1 LAST\r\nb", "250 503 250", 1 },
		{ "BDAT 1\r\naMAIL FROM:<t@x>\r\nBDAT 1 LAST\r\nb", "250 503 250", 1 },
		{ "BDAT 1\r\naNOOP\r\nVRFY a\r\nBDAT 1 LAST\r\nb", "250 250 252 250", 1 },
		{ "BDAT 1\r\naRSET\r\nBDAT 1 LAST\r\nb", "250 250 503", 0 },
		{ "BDAT 1\r\naEHLO d\r\nDATA\r\n", "250 250 503", 0 },
		{ "BDAT 1\r\naQUIT\r\n", "250 221", 0 },
		/* The count is needed to know where commands go on. */
		{ "BDAT\r\nNOOP\r\n", "521", 0 },
		{ "BDAT x\r\nNOOP\r\n", "521", 0 },
		{ "BDAT -1\r\nNOOP\r\n", "521", 0 },
		{ "BDAT 1 FIRST\r\nNOOP\r\n", "521", 0 },
		{ "BDAT 1 LAST x\r\nNOOP\r\n", "521", 0 },
		{ "BDAT 18446744073709551616\r\nNOOP\r\n", "521", 0 },
		{ "BDAT 9999999999999999999\r\nNOOP\r\n", "521", 0 },
		{ "RSET\r\nBDAT 6\r\nNOOP\r\nNOOP\r\n", "250 503 250", 0 },
		{ "RSET\r\nMAIL FROM:<t@x>\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n", "250 250 554 250", 0 },
	};
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str input = { 0 }, want = { 0 };

		str_printf(&input, TO "%s", cases[i].said);
		str_printf(&want, "220 250 250 250 %s", cases[i].codes);
		if (strcmp(world_codes(&w, str_cstr(&input)), str_cstr(&want)) != 0)
			fail_msg("%s: %s", cases[i].said, str_cstr(&w.m.output));
		assert_int_equal(w.committed, cases[i].committed);
		str_free(&input);
		str_free(&want);
	}
	world_free(&w);
}

/* Many chunks of a byte: nothing grows with them but the message. */
static void test_many_small_chunks(void **state)
{
	struct world w;
	struct str input = { 0 };

	world_make(&w);
	w.settings.message_size_limit = 0;
	str_append_text(&input, TO);
	for (int i = 0; i < 20000; i++)
		str_append_text(&input, "BDAT 1\r\na");
	str_append_text(&input, "BDAT 0 LAST\r\n");
	w.m.by_line = false;
	world_say(&w, str_slice(&input));
	assert_int_equal(w.committed, 1);
	assert_non_null(strstr(str_cstr(&w.story), "[20002]"));
	str_free(&input);
	world_free(&w);
}

/* The limit holds whatever the way, to the byte, and the next message is taken. */
static void test_size_limit(void **state)
{
	struct world w;

	world_make(&w);
	for (size_t size = 998; size <= 1004; size += 2) {
		for (int way = 0; way < 3; way++) {
			struct str body = { 0 }, input = { 0 };
			const char *codes;

			while (body.len < size - 2)
				str_append_byte(&body, 'x');
			str_append_text(&body, "\r\n");
			if (way == 0)
				str_printf(&input, TO "DATA\r\n%s.\r\n", str_cstr(&body));
			else if (way == 1)
				str_printf(&input, TO "BDAT %zu LAST\r\n%s", size, str_cstr(&body));
			else
				str_printf(&input, TO "BDAT %zu\r\n%sBDAT 2 LAST\r\nx\n", size, str_cstr(&body));
			str_append_text(&input, TO "DATA\r\n.\r\n");
			codes = world_codes(&w, str_cstr(&input));
			/* Three bytes more in the third way, as its last line gets a CR. */
			bool fits = size + (way == 2 ? 3 : 0) <= 1000;

			assert_int_equal(count(codes, "552") > 0, !fits);
			assert_int_equal(w.committed, fits ? 2 : 1);
			str_free(&body);
			str_free(&input);
		}
	}
	world_free(&w);
}

/* A chunk that cannot be kept is read to its end, and each is answered alike. */
static void test_chunks_behind_a_failure(void **state)
{
	struct world w;
	struct str input = { 0 };

	world_make(&w);
	w.settings.message_size_limit = 5;
	str_append_text(&input, TO "BDAT 10\r\n0123456789BDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\nDATA\r\n");
	assert_string_equal(world_codes(&w, str_cstr(&input)), "220 250 250 250 552 551 551 250 503");
	assert_int_equal(w.committed, 0);
	str_free(&input);
	world_free(&w);
}

static void test_the_file_cannot_be_written(void **state)
{
	static const struct {
		const char *path;
		int flags;
		const char *code;
	} cases[] = { { "/dev/full", O_WRONLY, "452 4.3.1" }, { "/dev/null", O_RDONLY, "451 4.3.0" } };
	static const char *const said[] = { TO "DATA\r\nx\r\n.\r\n", TO "BDAT 3 LAST\r\nx\r\n",
					    TO "BDAT 3\r\nx\r\nBDAT 0 LAST\r\n" };
	struct world w;

	for (size_t i = 0; i < 2; i++) {
		world_make(&w);
		close(w.fd);
		w.fd = open(cases[i].path, cases[i].flags);
		for (size_t k = 0; k < 3; k++) {
			assert_non_null(strstr(world_say(&w, slice_of(said[k])), cases[i].code));
			assert_int_equal(w.committed, 0);
			assert_int_equal(w.aborted, 1);
		}
		world_free(&w);
	}
}

/* More than fits a buffer, in pieces of all kinds, comes out as it was. */
static void test_large_message(void **state)
{
	struct world w;
	struct str body = { 0 }, sent = { 0 };

	world_make(&w);
	w.settings.message_size_limit = 0;
	for (unsigned i = 0; body.len < 300000; i++)
		str_printf(&body, "%s%0*u\r\n", i % 5 ? "" : ".", (int)(i % 900 + 1), i);
	str_append_text(&sent, TO "DATA\r\n");
	for (size_t i = 0; i < body.len; i++) {
		if (body.data[i] == '.' && (i == 0 || body.data[i - 1] == '\n'))
			str_append_byte(&sent, '.');
		str_append_byte(&sent, body.data[i]);
	}
	str_append_text(&sent, ".\r\n");
	for (size_t piece = 0; piece < 70000; piece = piece * 40 + 7) {
		w.m.by_line = false;
		w.m.piece = piece;
		w.m.stutter = piece == 7;
		world_say(&w, str_slice(&sent));
		assert_int_equal(w.committed, 1);
		assert_true(slice_eq(slice_sub(str_slice(&w.story), w.story.len - body.len - 1, body.len), str_slice(&body)));
	}
	str_free(&body);
	str_free(&sent);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smuggling_by_data),
		cmocka_unit_test(test_smuggling_by_bdat),
		cmocka_unit_test(test_bare_line_feeds),
		cmocka_unit_test(test_what_is_stored),
		cmocka_unit_test(test_bdat_and_other_commands),
		cmocka_unit_test(test_many_small_chunks),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_chunks_behind_a_failure),
		cmocka_unit_test(test_the_file_cannot_be_written),
		cmocka_unit_test(test_large_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
