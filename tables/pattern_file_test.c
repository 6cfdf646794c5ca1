/* SPDX-License-Identifier: ISC */
/* Files of patterns: their structure, what they answer, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tables/pattern_file.h"

static char path[] = "/tmp/postrider-pattern-XXXXXX";
static struct arena *arena;

static struct table *open_with(const char *type, const char *text)
{
	struct str spec = { 0 };
	struct err err = { 0 };
	FILE *f = fopen(path, "we");
	struct table *table;

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	str_printf(&spec, "%s:%s", type, path);
	table = table_open(str_cstr(&spec), &err);
	if (!table)
		fail_msg("%s", err.text);
	str_free(&spec);
	return table;
}

/* The value, NULL when there is none. */
static const char *ask(struct table *table, const char *key)
{
	struct slice value;
	struct err err = { 0 };
	enum table_result result = table_lookup(table, slice_of(key), arena, &value, &err);

	if (result == TABLE_ERROR)
		fail_msg("%s", err.text);
	return result == TABLE_FOUND ? arena_cstr(arena, value) : NULL;
}

static void expect(const char *type, const char *text, const char *key, const char *value)
{
	struct table *table = open_with(type, text);
	const char *got = ask(table, key);

	if (value)
		assert_string_equal(got ? got : "(nothing)", value);
	else
		assert_null(got);
	table_close(&table);
}

static void both(const char *text, const char *key, const char *value)
{
	expect("regexp", text, key, value);
#ifdef HAVE_PCRE
	expect("pcre", text, key, value);
#endif
}

static void the_first_rule_that_matches_answers(void **state)
{
	const char *text = "/a/ first\n/b/ second\n/./ third\n";

	both(text, "xay", "first");
	both(text, "bab", "first");
	both(text, "b", "second");
	both(text, "z", "third");
	both(text, "", NULL);
	both("", "a", NULL);
}

static void letters_match_in_either_case_unless_a_flag_says_not(void **state)
{
	both("/abc/ x\n", "ABC", "x");
	both("/abc/i x\n", "ABC", NULL);
	both("/abc/i x\n", "abc", "x");
	both("/abc/ii x\n", "ABC", "x");
	both("/^b$/ x\n", "a\nb", NULL);
	both("/^b$/m x\n", "a\nb", "x");
	expect("regexp", "/a+/ x\n", "aa", "x");
	expect("regexp", "/a+/x x\n", "aa", NULL);
	expect("regexp", "/a+/x x\n", "a+", "x");
#ifdef HAVE_PCRE
	expect("pcre", "/a.b/ x\n", "a\nb", "x");
	expect("pcre", "/a.b/s x\n", "a\nb", NULL);
	expect("pcre", "/a b/x x\n", "ab", "x");
	expect("pcre", "/b/A x\n", "ab", NULL);
	expect("pcre", "/b$/ x\n", "b\n", "x");
	expect("pcre", "/b$/E x\n", "b\n", NULL);
	expect("pcre", "/(a+)/U [$1]\n", "aaa", "[a]");
	expect("pcre", "/b/X x\n", "b", "x");
#endif
}

static void numbers_stand_for_groups(void **state)
{
	both("/^(.*)-(.*)@(.*)$/ $1+$2@${3} $(1)$$1\n", "owner-List@dom", "owner+List@dom owner$1");
	both("/(x)|(y)/ <$1><$2>\n", "y", "<><y>");
	both("/(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)/ ${11}$10\n", "abcdefghijk", "kj");
	/* Not asked for: the group that the number names counts, not the one before. */
	both("/(a)(b)/ $2\n", "ab", "b");
}

static void conditions_nest(void **state)
{
	const char *text = "if /a/\n/1/ a1\nif !/b/\n/2/ a2 without b\nENDIF\nIf /c/\n/3/ a3c\nendif\nendif\n/./ none\n";

	both(text, "a1", "a1");
	both(text, "a2", "a2 without b");
	both(text, "ab2", "none");
	both(text, "ac3", "a3c");
	both(text, "c3", "none");
	both(text, "1", "none");
	both("!/a/ not a\n", "b", "not a");
	both("!/a/ not a\n", "a", NULL);
	both("!!/a/ a\n", "a", "a");
}

static void lines_go_on_and_delimiters_differ(void **state)
{
	both("# a comment\n\n/a/\n  one\n  # inside\n\ttwo\n", "a", "one\ttwo");
	both("%a/b% x\n", "a/b", "x");
	both("/a\\/b/ x\n", "a/b", "x");
	both("/a b/ x\n", "a b", "x");
}

/* What is wrong is left out, and the rest counts. */
static void what_is_wrong_is_left_out(void **state)
{
	static const char *const wrong[] = {
		"/a(b/ x", "/a/q x", "/a/ $1", "/(a)/ $2", "/a/ $x", "/a/ $ x", "/a/ $", "/(a)/ $0", "/(a)/ ${1",
		"!/(z)/ $1", "/(a)/ $100", "/(a)/ $99999999999999999999", "a x", "/a", "/", "!", "/a\\",
		"if /a(/\n/a/ inside\nif /b/\n/a/ deep\nendif\nendif", "endif", "endif x", "if", "  /a/ indented",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct str text = { 0 };

		str_printf(&text, "%s\n/a/ right\n", wrong[i]);
		both(str_cstr(&text), "a", strcmp(wrong[i], "if") == 0 ? NULL : "right");
		str_free(&text);
	}
	both("if /a/\n/a/ inside\n", "a", "inside");
	both("/a/\n", "a", "");
}

static void networks_match_addresses(void **state)
{
	const char *text = "1.2.3.4 host\n1.2.3.0/24 net $1\n2001:db8::/32 six\n[::1] loop\nif 10.0.0.0/8\n"
			   "!10.1.0.0/16 not ten one\nendif\n";

	expect("cidr", text, "1.2.3.4", "host");
	expect("cidr", text, "1.2.3.5", "net $1");
	expect("cidr", text, "1.2.4.5", NULL);
	expect("cidr", text, "::ffff:1.2.3.4", "host");
	expect("cidr", text, "2001:db8:1::9", "six");
	expect("cidr", text, "2001:db9::9", NULL);
	expect("cidr", text, "::1", "loop");
	expect("cidr", text, "10.2.3.4", "not ten one");
	expect("cidr", text, "10.1.3.4", NULL);
	expect("cidr", text, "host.example", NULL);
	expect("cidr", text, "", NULL);
	expect("cidr", "0.0.0.0/0 all\n", "255.255.255.255", "all");
	expect("cidr", "!1.2.3.4 other\n", "name", NULL);
	expect("cidr", "!1.2.3.4 other\n", "::1", NULL);
	expect("cidr", "!1.2.3.4 other\n", "1.2.3.5", "other");
}

static void networks_that_are_wrong_are_left_out(void **state)
{
	static const char *const wrong[] = { "1.2.3.1/24 x", "1.2.3.4", "1.2.3.0/33 x", "1.2.3.0/ x", "1.2.3 x", "name x",
					     "::/129 x" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct str text = { 0 };

		str_printf(&text, "%s\n1.2.3.0/24 right\n", wrong[i]);
		expect("cidr", str_cstr(&text), "1.2.3.4", "right");
		str_free(&text);
	}
}

static void parts_of_addresses_are_not_asked_for(void **state)
{
	struct table *table = open_with("regexp", "/./ any\n");
	struct str spec = { 0 };
	struct err err = { 0 };
	struct table_address_style style = { "+", true, true };
	struct slice value;

	str_printf(&spec, "regexp:%s", path);
	struct table_list *list = table_list_open(str_cstr(&spec), &err);
	struct match_list *match = match_list_open(str_cstr(&spec), MATCH_DOMAIN_PARENT, &err);
	struct table_question question = { .key = SLICE("x"), .partial = true };

	assert_int_equal(table_list_ask(list, &question, arena, &err), TABLE_NOT_FOUND);
	question.partial = false;
	assert_int_equal(table_list_ask(list, &question, arena, &err), TABLE_FOUND);
	table_list_close(&list);
	match_list_close(&match);
	table_close(&table);

	/* "/^user@/" would match what is left without the extension. */
	table = open_with("regexp", "/^user@/ any\n/^example$/ parent\n");
	list = table_list_open(str_cstr(&spec), &err);
	match = match_list_open(str_cstr(&spec), MATCH_DOMAIN_PARENT, &err);
	assert_int_equal(table_list_lookup_address(list, SLICE("user+x@dom"), &style, arena, &value, &err), TABLE_NOT_FOUND);
	assert_int_equal(table_list_lookup_address(list, SLICE("user@dom"), &style, arena, &value, &err), TABLE_FOUND);
	assert_int_equal(match_list_test(match, SLICE("host.example"), &err), TABLE_NOT_FOUND);
	assert_int_equal(match_list_test(match, SLICE("example"), &err), TABLE_FOUND);
	table_list_close(&list);
	match_list_close(&match);
	table_close(&table);
	str_free(&spec);
}

#ifdef HAVE_PCRE
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Without bounds each of these would go on for seconds, or for ever. */
static void a_hostile_key_costs_bounded_time(void **state)
{
	static const struct {
		const char *pattern, *letters; /* letters: that the key is made of, as many of each */
		size_t len;
	} hostile[] = {
		{ "(a+)+$(?<!a)", "a", 60 },
		{ "^(a|aa)+$(?<!a)", "a", 1000 },
		{ "(a|a)*(a|a)*(a|a)*[^a]", "a", 1000 },
		{ "(a+)+$(?<!a)", "a", 5000 },
		{ "\\w+\\s", "a", 100000 },
		{ "a*a*a*a*[^a]", "a", 3000 },
		{ "(.*)*(.*)*[^a]", "a", 100000 },
		{ "a[^x]*b[^x]*c[^x]*d[^x]*ex", "abcdx", 100000 },
		{ "(?:\\w+\\.)+zx", "ax", 100000 },
	};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct str text = { 0 }, key = { 0 };
		struct slice value;
		struct err err = { 0 };

		str_printf(&text, "# x\n/%s/ x\n", hostile[i].pattern);
		for (size_t n = 0; n < hostile[i].len; n++)
			str_append_byte(&key, hostile[i].letters[n * strlen(hostile[i].letters) / hostile[i].len]);
		struct table *table = open_with("pcre", str_cstr(&text));
		double start = seconds();
		enum table_result result = table_lookup(table, str_slice(&key), arena, &value, &err);
		double took = seconds() - start;

		/* An error, that names the table and the line, or an honest "no". */
		assert_int_not_equal(result, TABLE_FOUND);
		if (result == TABLE_ERROR) {
			assert_non_null(strstr(err.text, path));
			assert_non_null(strstr(err.text, "line 2"));
		}
		print_message("%s with %zu bytes: %.3f s, %s\n", hostile[i].pattern, hostile[i].len, took,
			      result == TABLE_ERROR ? err.text : "no");
		assert_true(took < 4);
		table_close(&table);
		str_free(&text);
		str_free(&key);
	}
}

static void long_keys_give_the_same(void **state)
{
	struct str key = { 0 };
	struct slice value;
	struct err err = { 0 };
	struct table *table = open_with("pcre", "/^x-(.*): (.*)z$/ $1=$2\n");

	str_append_text(&key, "X-Head: ");
	for (int i = 0; i < 90000; i++)
		str_append_byte(&key, i % 7 ? 'a' : 'z');
	str_append_byte(&key, 'z');
	assert_int_equal(table_lookup(table, str_slice(&key), arena, &value, &err), TABLE_FOUND);
	assert_int_equal(value.len, key.len - 4);
	assert_true(slice_starts(value, SLICE("Head=z")));
	table_close(&table);
	str_free(&key);
}
#endif

static void a_change_is_seen(void **state)
{
	struct table *table = open_with("regexp", "/a/ x\n");
	FILE *f;

	assert_false(table_changed(table));
	f = fopen(path, "we");
	fputs("/b/ longer\n", f);
	fclose(f);
	assert_true(table_changed(table));
	table_close(&table);
}

static int set_up(void **state)
{
	int fd = mkstemp(path);

	if (fd >= 0)
		close(fd);
	arena = arena_create(0);
	log_open("test", -1, false);
	return fd < 0;
}

static int tear_down(void **state)
{
	arena_free(&arena);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_matches_answers),
		cmocka_unit_test(letters_match_in_either_case_unless_a_flag_says_not),
		cmocka_unit_test(numbers_stand_for_groups),
		cmocka_unit_test(conditions_nest),
		cmocka_unit_test(lines_go_on_and_delimiters_differ),
		cmocka_unit_test(what_is_wrong_is_left_out),
		cmocka_unit_test(networks_match_addresses),
		cmocka_unit_test(networks_that_are_wrong_are_left_out),
		cmocka_unit_test(parts_of_addresses_are_not_asked_for),
#ifdef HAVE_PCRE
		cmocka_unit_test(a_hostile_key_costs_bounded_time),
		cmocka_unit_test(long_keys_give_the_same),
#endif
		cmocka_unit_test(a_change_is_seen),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
