/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "delivery/local/token.h"

static void expect(const char *text, const char *expected)
{
	static const char *const names[] = { "addr", "cmd", "file", "incl" };
	struct arena *arena = arena_create(0);
	struct slice rest = slice_of(text);
	struct token t;
	char *all = arena_strdup(arena, "");

	while (token_next(&rest, arena, &t))
		all = arena_printf(arena, "%s[%s %.*s]", all, names[t.type], SLICE_FMT(t.text));
	assert_string_equal(all, expected);
	arena_free(&arena);
}

static void addresses(void **state)
{
	expect("", "");
	expect(" , ,\n", "");
	expect("root", "[addr root]");
	expect("a, b@c.test ,\"x, y\"@d.test", "[addr a][addr b@c.test][addr \"x, y\"@d.test]");
	expect("Some, One <a@b.test>, (x, y) c", "[addr Some][addr One <a@b.test>][addr (x, y) c]");
	expect("\\user", "[addr \\user]");
	expect("a\nb\r\n\nc", "[addr a][addr b][addr c]");
}

static void comments(void **state)
{
	expect("# all of it, |x\n  # and this\na\n#b\n", "[addr a]");
	expect("a, #b", "[addr a][addr #b]");
}

static void commands(void **state)
{
	expect("|/bin/cat", "[cmd /bin/cat]");
	expect("\"|/usr/bin/prog -a, b\"", "[cmd /usr/bin/prog -a, b]");
	expect("|\"/usr/bin/prog -a, b\", x", "[cmd /usr/bin/prog -a, b][addr x]");
	expect("|/bin/prog arg two, y", "[cmd /bin/prog arg two][addr y]");
	expect("\"|echo \\\"a\\\" \\\\ b\"", "[cmd echo \"a\" \\ b]");
	expect("\"|exit 67\"", "[cmd exit 67]");
}

static void files(void **state)
{
	expect("/var/mail/x y", "[file /var/mail/x]");
	expect("\"/var/mail/a b\", /dev/null", "[file /var/mail/a b][file /dev/null]");
	expect(":include:/etc/list, :INCLUDE: /x, \":include:/a b\"", "[incl /etc/list][incl ][incl /a b]");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(addresses), cmocka_unit_test(comments),
					    cmocka_unit_test(commands), cmocka_unit_test(files) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
