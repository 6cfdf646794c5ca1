/* SPDX-License-Identifier: ISC */
/* Sessions as a whole: each command in each state, limits, ends, and a walk against a model. */
#include "common/proto/qmgr_proto.h"
#include "tests/support/smtpd_world.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "common/base/task.h"

#define FROM  "MAIL FROM:<s@x>\r\n"
#define TO    "RCPT TO:<a@x>\r\n"

/* --- each command in each state --- */

enum { FRESH, GREETED, MAIL, RCPT, BDAT, STATES };

static const char *const ways[STATES] = {
	[FRESH] = "", [GREETED] = "EHLO c\r\n", [MAIL] = "EHLO c\r\n" FROM, [RCPT] = "EHLO c\r\n" FROM TO,
	[BDAT] = "EHLO c\r\n" FROM TO "BDAT 2\r\n\r\n",
};

static const struct {
	const char *command;
	const char *codes[STATES];   /* of this command and the MAIL behind it, which tells the state */
} matrix[] = {
	{ "HELO c", { "250 250", "250 250", "250 250", "250 250", "250 250" } },
	{ "ehlo c", { "250 250", "250 250", "250 250", "250 250", "250 250" } },
	{ "EHLO", { "501 250", "501 250", "501 503", "501 503", "501 503" } },
	{ "EHLO a\tb", { "250 250", "250 250", "250 250", "250 250", "250 250" } },
	{ "EHLO \001", { "501 250", "501 250", "501 503", "501 503", "501 503" } },
	{ "MAIL FROM:<t@x>", { "250 503", "250 503", "503 503", "503 503", "503 503" } },
	{ "mail from: <t@x>", { "250 503", "250 503", "503 503", "503 503", "503 503" } },
	{ "MAIL FROM:<t@x", { "501 250", "501 250", "503 503", "503 503", "503 503" } },
	{ "MAIL", { "501 250", "501 250", "503 503", "503 503", "503 503" } },
	{ "RCPT TO:<b@x>", { "503 250", "503 250", "250 503", "250 503", "503 503" } },
	{ "RCPT TO:<no@x>", { "503 250", "503 250", "550 503", "550 503", "503 503" } },
	{ "RCPT TO:<>", { "503 250", "503 250", "501 503", "501 503", "503 503" } },
	{ "RCPT TO:<b@x", { "503 250", "503 250", "501 503", "501 503", "503 503" } },
	{ "RCPT", { "503 250", "503 250", "501 503", "501 503", "503 503" } },
	{ "DATA x", { "503 250", "503 250", "554 503", "501 503", "503 503" } },
	{ "BDAT 0", { "551 503", "551 503", "551 503", "551 503", "551 503" } },
	{ "BDAT 0 LAST", { "503 250", "503 250", "554 250", "250 250", "250 250" } },
	{ "RSET", { "250 250", "250 250", "250 250", "250 250", "250 250" } },
	{ "RSET x", { "501 250", "501 250", "501 503", "501 503", "501 503" } },
	{ "NOOP anything", { "250 250", "250 250", "250 503", "250 503", "250 503" } },
	{ "VRFY a", { "252 250", "252 250", "252 503", "252 503", "252 503" } },
	{ "VRFY", { "501 250", "501 250", "501 503", "501 503", "501 503" } },
	{ "VRFY <a", { "501 250", "501 250", "501 503", "501 503", "501 503" } },
	{ "HELP", { "214 250", "214 250", "214 503", "214 503", "214 503" } },
	/* What there is not; nor does a handshake start that would eat what follows. */
	{ "STARTTLS", { "502 250", "502 250", "502 503", "502 503", "502 503" } },
	{ "AUTH PLAIN AGEAYg==", { "503 250", "503 250", "503 503", "503 503", "503 503" } },
	{ "EXPN a", { "500 250", "500 250", "500 503", "500 503", "500 503" } },
	{ "GET / HTTP/1.0", { "500 250", "500 250", "500 503", "500 503", "500 503" } },
	{ "", { "500 250", "500 250", "500 503", "500 503", "500 503" } },
	{ "\xff\xfe", { "500 250", "500 250", "500 503", "500 503", "500 503" } },
	{ "QUIT", { "221", "221", "221", "221", "221" } },
};

static void test_each_command_in_each_state(void **state)
{
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
		for (int s = 0; s < STATES; s++) {
			struct str input = { 0 };

			str_printf(&input, "%s%s\r\n" FROM, ways[s], matrix[i].command);
			const char *codes = world_codes(&w, str_cstr(&input));
			size_t len = strlen(codes), want = strlen(matrix[i].codes[s]);

			if (len < want || strcmp(codes + len - want, matrix[i].codes[s]) != 0)
				fail_msg("\"%s\" in state %d: %s", matrix[i].command, s, codes);
			str_free(&input);
		}
	}
	world_free(&w);
}

static void test_nul_in_a_command(void **state)
{
	struct world w;

	world_make(&w);
	world_say(&w, SLICE("HELO c\0d\r\nNOOP\r\n"));
	assert_string_equal(str_cstr(&w.m.output), "220 mx.test ESMTP\r\n500 5.5.2 Error: bad syntax\r\n"
						   "250 2.0.0 Ok\r\n");
	world_free(&w);
}

static void test_ehlo_says_what_there_is(void **state)
{
	struct world w;

	world_make(&w);
	assert_string_equal(world_say(&w, SLICE("EHLO c\r\n")),
			    "220 mx.test ESMTP\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-VRFY\r\n"
			    "250-DELIVERBY\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n");
	w.settings.message_size_limit = 0;
	w.settings.smtputf8 = w.settings.vrfy = w.settings.deliver_by = false;
	assert_string_equal(world_say(&w, SLICE("EHLO c\r\n")),
			    "220 mx.test ESMTP\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE\r\n"
			    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 CHUNKING\r\n");
	assert_string_equal(world_codes(&w, "VRFY a\r\n"), "220 502");
	world_free(&w);
}

static void test_helo_required(void **state)
{
	struct world w;

	world_make(&w);
	w.settings.helo_required = true;
	assert_string_equal(world_codes(&w, FROM "HELO c\r\n" FROM), "220 503 250 250");
	world_free(&w);
}

/* --- limits --- */

static void test_error_limits(void **state)
{
	struct world w;
	struct str input = { 0 };

	world_make(&w);
	w.settings.hard_error_limit = 3;
	assert_string_equal(world_codes(&w, "X\r\nNOOP\r\nX\r\nX\r\nNOOP\r\n"), "220 500 250 500 500 421");
	/* Idle commands are errors beyond their limit. */
	w.settings.junk_command_limit = 4;
	for (int i = 0; i < 20; i++)
		str_append_text(&input, "NOOP\r\n");
	assert_string_equal(world_codes(&w, str_cstr(&input)), "220 250 250 250 250 250 250 250 250 421");
	str_free(&input);
	world_free(&w);
}

static void test_line_limit(void **state)
{
	struct world w;
	struct str input = { 0 };

	world_make(&w);
	w.m.by_line = false;
	for (size_t len = 2047; len <= 2049; len++) {
		str_clear(&input);
		str_append_text(&input, "NOOP ");
		while (input.len < len)
			str_append_byte(&input, 'x');
		str_append_text(&input, "\r\nNOOP\r\n");
		assert_string_equal(world_codes(&w, str_cstr(&input)), len <= 2048 ? "220 250 250" : "220 500 250");
	}
	/* One that does not end is not read for ever. */
	str_clear(&input);
	while (input.len < 66u << 20)
		str_append_text(&input, "a line that does not end is thrown away for a while, and then its sender is");
	assert_string_equal(world_codes(&w, str_cstr(&input)), "220 500");
	assert_true(w.m.at < 65u << 20);
	str_free(&input);
	world_free(&w);
}

static void test_recipient_limit(void **state)
{
	struct world w;

	world_make(&w);
	w.settings.recipient_limit = 2;
	w.settings.recipient_overshoot_limit = 2;
	w.settings.hard_error_limit = 2;
	assert_string_equal(world_codes(&w, FROM TO TO TO TO "DATA\r\n\r\n.\r\n" FROM TO TO TO TO TO TO TO),
			    "220 250 250 250 452 452 354 250 250 250 250 452 452 452 452 421");
	assert_string_equal(str_cstr(&w.story), "S<s@x> R<a@x> R<a@x> [2] \r\n\n");
	world_free(&w);
}

/* --- the stream ends, or breaks --- */

static void test_ends(void **state)
{
	static const struct {
		enum memory_end end;
		const char *last;
	} cases[] = {
		{ MEMORY_EOF, "250 2.1.5 Ok\r\n" },
		{ MEMORY_ERROR, "250 2.1.5 Ok\r\n" },
		{ MEMORY_TIMEOUT, "421 4.4.2 mx.test Error: timeout exceeded\r\n" },
		{ MEMORY_CANCELLED, "421 4.3.2 mx.test Error: service shutting down\r\n" },
	};
	static const char *const behind[] = { "", "DATA\r\nhalf a message\r\n.\r", "BDAT 100\r\nabc", "BDAT 2\r\n\r\n" };
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < 4; k++) {
			struct str input = { 0 };

			str_printf(&input, FROM TO "%s", behind[k]);
			w.m.end = cases[i].end;
			world_say(&w, str_slice(&input));
			if (k == 0 || i >= 2)
				assert_true(slice_ends_nocase(str_slice(&w.m.output), slice_of(cases[i].last)));
			assert_int_equal(w.committed, 0);
			assert_int_equal(w.aborted, 1);
			str_free(&input);
		}
	}
	world_free(&w);
}

/* The client does not read what we say: the write fails at each byte in turn. */
static void test_writes_fail_anywhere(void **state)
{
	static const char input[] = "EHLO c\r\n" FROM TO "DATA\r\nx\r\n.\r\n" FROM TO "BDAT 2 LAST\r\n\r\nQUIT\r\n";
	struct world w;

	world_make(&w);
	world_say(&w, slice_of(input));
	size_t all = w.m.output.len;

	assert_int_equal(w.committed, 2);
	w.m.piece = 1;
	for (size_t limit = 1; limit < all; limit++) {
		w.m.write_limit = limit;
		world_say(&w, slice_of(input));
		assert_int_equal(w.m.output.len, limit);
	}
	world_free(&w);
}

static void serve_task(void *arg)
{
	struct world *w = arg;

	world_serve(w, stream_of_fd(w->fd));
}

/* Serves on a socket pair whose other end has said `early` already; what the server says is left in `out`. */
static void serve_socket(struct world *w, const char *early, char *out, size_t size)
{
	struct task_group group = { 0 };
	int pair[2];
	ssize_t got;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[1], early, strlen(early)), (ssize_t)strlen(early));
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	close(w->fd);
	w->fd = pair[0];
	task_spawn(&group, serve_task, w);
	task_group_run(&group);
	got = read(pair[1], out, size - 1);
	out[got > 0 ? got : 0] = '\0';
	close(pair[1]);
	w->fd = memfd_create("content", MFD_CLOEXEC);
}

static void test_talking_before_ones_turn(void **state)
{
	struct world w;
	char out[2000];

	world_make(&w);
	w.settings.forbid_unauth_pipelining = true;
	serve_socket(&w, "HELO c\r\n", out, sizeof(out));
	assert_string_equal(out, "554 5.5.0 Error: SMTP protocol synchronization\r\n");
	w.settings.forbid_unauth_pipelining = false;
	serve_socket(&w, "HELO c\r\nQUIT\r\nNOOP\r\n", out, sizeof(out));
	assert_string_equal(out, "220 mx.test ESMTP\r\n250 mx.test\r\n221 2.0.0 Bye\r\n");
	/* EHLO ends a group of commands: what it offers cannot be known before its answer. */
	w.settings.forbid_unauth_pipelining = true;
	w.m.by_line = false;
	w.m.piece = 16;
	assert_string_equal(world_codes(&w, "EHLO c\r\nNOOP\r\nNOOP\r\n"), "220 554");
	world_free(&w);
}

/* --- a walk through all states against a model --- */

struct model {
	bool esmtp, mail, bdat;
	bool failed;     /* chunks are thrown away */
	int recipients;
};

enum step { S_EHLO, S_MAIL, S_MAIL_BAD, S_RCPT, S_RCPT_NO, S_RCPT_BAD, S_DATA, S_BDAT, S_BDAT_LAST, S_RSET, S_NOOP,
	    S_VRFY, S_STARTTLS, S_GARBAGE, STEPS };

static const char *const step_text[STEPS] = {
	"EHLO c\r\n", FROM, "MAIL FROM:<s@x> SIZE=99999\r\n", TO, "RCPT TO:<no@x>\r\n", "RCPT TO:<a\r\n", "DATA\r\n",
	"BDAT 4\r\nabc\n", "BDAT 6 LAST\r\n.\r\nab\n", "RSET\r\n", "NOOP\r\n", "VRFY a\r\n", "STARTTLS\r\n",
	"XYZZY\r\n",
};

/* The code that is right; the state moves on. */
static int model_step(struct model *m, enum step step, int *commits)
{
	int n = m->recipients;

	switch (step) {
	case S_EHLO:
	case S_RSET:
		*m = (struct model){ .esmtp = m->esmtp || step == S_EHLO };
		return 250;
	case S_MAIL:
	case S_MAIL_BAD:
		if (m->mail || m->failed)
			return 503;
		m->mail = step == S_MAIL;
		return m->mail ? 250 : 552;
	case S_RCPT:
	case S_RCPT_NO:
	case S_RCPT_BAD:
		if (!m->mail || m->bdat)
			return 503;
		m->recipients += step == S_RCPT;
		return step == S_RCPT ? 250 : step == S_RCPT_NO ? 550 : 501;
	case S_DATA:
		if (!m->mail || m->bdat)
			return 503;
		return n ? 354 : 554;
	case S_BDAT:
	case S_BDAT_LAST: {
		bool mail = m->mail, failed = m->failed;

		m->bdat = !failed && mail && n > 0;
		if (!m->bdat || step == S_BDAT_LAST) {
			*commits += m->bdat;
			*m = (struct model){ .esmtp = m->esmtp, .failed = !m->bdat && step == S_BDAT };
		}
		return failed ? 551 : !mail ? 503 : n ? 250 : 554;
	}
	case S_NOOP:
		return 250;
	case S_VRFY:
		return 252;
	case S_STARTTLS:
		return 502;
	case S_GARBAGE:
		return 500;
	case STEPS:
		break;
	}
	return 0;
}

static void walk(struct world *w, unsigned length)
{
	struct str input = { 0 }, want = { 0 };
	struct model model = { 0 };
	int commits = 0;

	str_append_text(&want, "220");
	for (unsigned i = 0; i < length; i++) {
		enum step step = (enum step)(random() % STEPS);
		int code = model_step(&model, step, &commits);

		str_append_text(&input, step_text[step]);
		str_printf(&want, " %d", code);
		if (code == 354) {
			str_append_text(&input, "T: x\r\n\r\n..\r\nMAIL FROM:<evil@x>\n.\r\n.\n\r\n.\r\n");
			str_append_text(&want, " 250");
			commits++;
			model = (struct model){ .esmtp = model.esmtp };
		}
	}
	assert_string_equal(world_codes(w, str_cstr(&input)), str_cstr(&want));
	assert_int_equal(w->committed, commits);
	assert_null(strstr(str_cstr(&w->story), "S<evil"));
	str_free(&input);
	str_free(&want);
}

static void test_walk_against_the_model(void **state)
{
	const char *steps = getenv("POSTRIDER_WALK_STEPS");
	unsigned long left = steps ? strtoul(steps, NULL, 10) : 100000;
	struct world w;

	world_make(&w);
	srandom((unsigned)time(NULL));
	for (unsigned i = 0; left > 0; i++) {
		unsigned length = left < 200 ? (unsigned)left : 200;

		w.m.by_line = i % 2;
		w.m.piece = (size_t)random() % 9;
		w.m.stutter = i % 3 == 0;
		walk(&w, length);
		left -= length;
	}
	world_free(&w);
}

static unsigned answer_flush(void *context, struct slice site)
{
	return site.ptr[0] == '[' ? FLUSH_LATER : slice_eq(site, SLICE("x.test")) ? FLUSH_STARTED : FLUSH_NOT_ELIGIBLE;
}

static void test_etrn(void **state)
{
	struct world w;

	world_make(&w);
	assert_string_equal(world_codes(&w, "EHLO c\r\nETRN x.test\r\n"), "220 250 502");
	w.flush = answer_flush;
	assert_string_equal(world_codes(&w, "EHLO c\r\nETRN\r\nETRN a b\r\nETRN x.test\r\nETRN @x.test\r\nETRN y.test\r\n"
					    "ETRN -x\r\nETRN [127.0.0.1]\r\nETRN [1\r\nETRN @\r\n"),
			    "220 250 500 500 250 250 459 501 458 501 501");
	assert_string_equal(world_codes(&w, "EHLO c\r\n" FROM "ETRN x.test\r\n"), "220 250 250 503");
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_command_in_each_state),
		cmocka_unit_test(test_nul_in_a_command),
		cmocka_unit_test(test_ehlo_says_what_there_is),
		cmocka_unit_test(test_helo_required),
		cmocka_unit_test(test_error_limits),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_recipient_limit),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_writes_fail_anywhere),
		cmocka_unit_test(test_talking_before_ones_turn),
		cmocka_unit_test(test_etrn), cmocka_unit_test(test_walk_against_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
