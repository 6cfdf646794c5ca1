/* SPDX-License-Identifier: ISC */
/* Lines of the log, and which belong together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/lib/trace.h"

#define AT "Nov 27 07:00:01 host postfix/"

static const char *const story[] = {
	AT "smtpd[1]: connect from a[192.0.2.1]",
	AT "smtpd[1]: 4aaaaz1: client=a[192.0.2.1]",
	AT "cleanup[2]: 4aaaaz1: message-id=<one@a.test>",
	AT "qmgr[3]: 4aaaaz1: from=<a@a.test>, size=10, nrcpt=1 (queue active)",
	AT "local[4]: 4aaaaz1: to=<b@b.test>, orig_to=<list@b.test>, relay=local, status=sent (forwarded as 4bbbbz2)",
	AT "qmgr[3]: 4bbbbz2: from=<a@a.test>, size=10, nrcpt=1 (queue active)",
	AT "smtp[5]: 4bbbbz2: to=<far@c.test>, relay=none, dsn=5.1.1, status=bounced (host said: 550 no)",
	AT "bounce[6]: 4bbbbz2: sender non-delivery notification: 4ccccz3",
	AT "qmgr[3]: 4ccccz3: from=<>, size=99, nrcpt=1 (queue active)",
	AT "submission/smtpd[1]: 4ddddz4: client=b[192.0.2.2]",
	AT "cleanup[2]: 4ddddz4: message-id=<two@a.test>",
	AT "smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.3]: 554 no; from=<a@a.test> to=<z@b.test> proto=SMTP",
	"Nov 27 07:00:01 host sshd[9]: something else",
};
#define LINES (sizeof(story) / sizeof(story[0]))

/* The numbers of the lines that concern it, as a text. */
static void concerns(const char *what, const char *expected)
{
	struct trace *t = trace_create(what);
	struct trace_line line;
	char got[200] = "";
	size_t len = 0;

	for (size_t i = 0; i < LINES; i++)
		if (trace_parse(slice_of(story[i]), &line))
			trace_learn(t, &line);
	trace_choose(t);
	for (size_t i = 0; i < LINES; i++)
		if (trace_parse(slice_of(story[i]), &line) && trace_concerns(t, &line))
			len += (size_t)snprintf(got + len, sizeof(got) - len, "%zu ", i);
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s", what, got);
	trace_free(&t);
}

static void test_parse(void **state)
{
	struct trace_line line;

	assert_true(trace_parse(slice_of(story[9]), &line));
	assert_true(slice_eq(line.time, SLICE("Nov 27 07:00:01")));
	assert_true(slice_eq(line.program, SLICE("smtpd")));
	assert_true(slice_eq(line.id, SLICE("4ddddz4")));
	assert_true(slice_eq(line.text, SLICE("client=b[192.0.2.2]")));
	assert_true(trace_parse(slice_of(story[0]), &line));
	assert_int_equal(line.id.len, 0);
	assert_false(trace_parse(slice_of(story[12]), &line));
	assert_false(trace_parse(SLICE(""), &line));
	assert_false(trace_parse(SLICE("]: "), &line));
}

static void test_what_belongs_together(void **state)
{
	concerns("4aaaaz1", "1 2 3 4 5 6 7 8 ");
	concerns("4ccccz3", "1 2 3 4 5 6 7 8 ");
	concerns("far@C.test", "1 2 3 4 5 6 7 8 ");
	concerns("one@a.test", "1 2 3 4 5 6 7 8 ");
	concerns("<one@a.test>", "1 2 3 4 5 6 7 8 ");
	concerns("list@b.test", "1 2 3 4 5 6 7 8 ");
	concerns("<two@a.test>", "9 10 ");
	concerns("a@a.test", "1 2 3 4 5 6 7 8 11 ");
	concerns("z@b.test", "11 ");
	concerns("nobody@b.test", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse), cmocka_unit_test(test_what_belongs_together) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
