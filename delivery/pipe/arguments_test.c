/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "delivery/lib/content.h"
#include "delivery/pipe/pipe.h"

static struct message_recipient recipients[] = {
	{ .address = { "User+Ext@Dom.Test", 17 }, .original = { "Orig@X.Test", 11 } },
	{ .address = { "a b;$x@other.test", 17 } },
};

/* words: NULL after the last; `expected` has a '|' before each argument. */
static void expect(const char *const *words, const char *expected)
{
	struct arena *arena = arena_create(0);
	struct pipe_attributes a;
	struct err err = { 0 };
	struct delivery_job job = { .nexthop = SLICE("Next.Hop"), .queue_id = SLICE("QID"),
				    .envelope = { .client_address = SLICE("192.0.2.1"), .recipients = recipients,
						  .recipient_count = 2 } };
	struct pipe_message m = { &a, &job, 123, "+" };

	if (!pipe_attributes_parse(&a, words, arena, &err))
		fail_msg("%s", err.text);
	const char *const *list = pipe_arguments(&m, arena, &err);
	char *all = arena_strdup(arena, "");

	if (!expected) {
		assert_null(list);
	} else {
		if (!list)
			fail_msg("%s", err.text);
		for (size_t i = 0; list[i]; i++)
			all = arena_printf(arena, "%s|%s", all, list[i]);
		assert_string_equal(all, expected);
	}
	arena_free(&arena);
}

#define WORDS(...) ((const char *const[]){ "user=x", __VA_ARGS__, NULL })

static void macros(void **state)
{
	expect(WORDS("argv=/p", "-f", "$sender", "${queue_id}", "$(size)", "$$x", "${nexthop}:${client_address}"),
	       "|/p|-f|MAILER-DAEMON|QID|123|$x|Next.Hop:192.0.2.1");
	expect(WORDS("null_sender=", "argv=", "/p", "$sender", "end"), "|/p||end");
	expect(WORDS("argv=/p", "<$recipient>", "$original_recipient"),
	       "|/p|<User+Ext@Dom.Test>|<a b;$x@other.test>|Orig@X.Test|a b;$x@other.test");
	expect(WORDS("argv=/p", "$user,$extension,$mailbox,$domain"), "|/p|User,Ext,User+Ext,Dom.Test|a b;$x,,a b;$x,other.test");
	expect(WORDS("argv=/p", "$nothing"), NULL);
}

static void flags(void **state)
{
	expect(WORDS("flags=q", "argv=/p", "$recipient"), "|/p|User+Ext@Dom.Test|\"a b;$x\"@other.test");
	expect(WORDS("flags=h", "argv=/p", "$recipient", "$nexthop"), "|/p|User+Ext@dom.test|a b;$x@other.test|next.hop");
	expect(WORDS("flags=u", "argv=/p", "$recipient", "$extension"), "|/p|user+ext@Dom.Test|a b;$x@other.test|ext|");
}

static void attributes(void **state)
{
	static const char *const bad[][4] = {
		{ "argv=/p" }, { "user=x" }, { "user=x", "argv=" }, { "user=x", "flags=Z", "argv=/p" },
		{ "user=x", "size=big", "argv=/p" }, { "user=x", "colour=red", "argv=/p" }, { "user=x", "word", "argv=/p" },
		{ "user=", "argv=/p" },
	};
	struct arena *arena = arena_create(0);
	struct pipe_attributes a;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pipe_attributes_parse(&a, bad[i], arena, &err));
	assert_true(pipe_attributes_parse(&a, WORDS("user=u:g", "eol=\\r\\n\\101\\\\", "flags=DX.>", "size=5",
						    "directory=/d", "chroot=/c", "argv=/p"), arena, &err));
	assert_string_equal(a.user, "u");
	assert_string_equal(a.group, "g");
	assert_string_equal(a.directory, "/d");
	assert_string_equal(a.chroot, "/c");
	assert_true(slice_eq(a.eol, SLICE("\r\nA\\")));
	assert_int_equal(a.size, 5);
	assert_int_equal(a.flags, PIPE_DELIVERED_TO | PIPE_FINAL);
	assert_int_equal(a.content_flags, CONTENT_QUOTE_DOT | CONTENT_QUOTE_FROM);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(macros), cmocka_unit_test(flags), cmocka_unit_test(attributes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
