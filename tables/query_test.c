/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tables/query.h"

static bool double_quotes(void *context, struct slice text, struct str *out, struct err *err)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\'')
			str_append_byte(out, '\'');
		str_append_byte(out, text.ptr[i]);
	}
	return true;
}

static struct table_query *open_text(const char *text, struct err *err)
{
	char path[] = "/tmp/postrider-query-XXXXXX";
	int fd = mkstemp(path);
	struct table_settings *s;
	struct table_query *q = NULL;
	const char *sql;

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	s = table_settings_open(path, err);
	if (s && (sql = table_settings_sql(s, err)) != NULL)
		q = table_query_open(s, sql, err);
	table_settings_free(&s);
	unlink(path);
	return q;
}

/* The query for a key; "-" when it is not asked for. */
static const char *ask(struct table_query *q, const char *key)
{
	static char buf[500];
	struct str out = { 0 };
	struct err err = { 0 };
	int wanted = table_query_wants(q, slice_of(key), &err);

	assert_true(wanted >= 0);
	if (wanted)
		assert_true(table_query_expand(q, 0, slice_of(key), double_quotes, NULL, &out, &err));
	snprintf(buf, sizeof(buf), "%s", wanted ? str_cstr(&out) : "-");
	str_free(&out);
	return buf;
}

static void templates_take_parts_of_the_key(void **state)
{
	struct err err;
	struct table_query *q = open_text("query = SELECT '%s' '%u' '%d' '%S%U%D' %%\n", &err);

	assert_non_null(q);
	assert_string_equal(ask(q, "o'neil@Example.com"),
			    "SELECT 'o''neil@Example.com' 'o''neil' 'Example.com' "
			    "'o''neil@Example.como''neilExample.com' %");
	assert_string_equal(ask(q, "nobody"), "-");
	assert_string_equal(ask(q, "@example.com"), "-");
	assert_string_equal(ask(q, "x@"), "-");
	assert_string_equal(ask(q, ""), "-");
	assert_string_equal(ask(q, "\xff@example.com"), "-");
	table_query_free(&q);
	q = open_text("query = %u:%s\n", &err);
	assert_string_equal(ask(q, "user"), "user:user");
	assert_string_equal(ask(q, "@x"), "-");
	table_query_free(&q);
	q = open_text("query = %1/%2/%3\n", &err);
	assert_string_equal(ask(q, "u@mail.example.com"), "com/example/mail");
	assert_string_equal(ask(q, "u@a.mail.example.com"), "com/example/mail");
	assert_string_equal(ask(q, "u@example.com"), "-");
	table_query_free(&q);
}

static void older_settings_make_a_query(void **state)
{
	struct err err;
	struct table_query *q = open_text("select_field = f\ntable = t\nwhere_field = w\n"
					  "additional_conditions = AND x = 1\n", &err);

	assert_string_equal(ask(q, "a'b"), "SELECT f FROM t WHERE w = 'a''b' AND x = 1");
	table_query_free(&q);
	assert_null(open_text("table = t\n", &err));
	assert_non_null(strstr(err.text, "no query"));
}

/* Not even asked for: a C library's string ends at the NUL, and a server's text is UTF-8. */
static void keys_that_cannot_be_are_not_found(void **state)
{
	struct err err;
	struct table_query *q = open_text("query = '%s'\n", &err);

	assert_int_equal(table_query_wants(q, SLICE("a\0' OR 1=1"), &err), 0);
	assert_int_equal(table_query_wants(q, SLICE("\0"), &err), 0);
	assert_int_equal(table_query_wants(q, SLICE("\xbf' OR 1=1"), &err), 0);
	assert_int_equal(table_query_wants(q, SLICE("\xc0\xa7"), &err), 0);
	assert_int_equal(table_query_wants(q, SLICE_NONE, &err), 0);
	assert_int_equal(table_query_wants(q, SLICE("' OR 1=1"), &err), 1);
	table_query_free(&q);
}

static void domain_limits_the_keys(void **state)
{
	struct err err;
	struct table_query *q = open_text("query = %s\ndomain = a.test, inline:{b.test=x}\n", &err);

	assert_string_equal(ask(q, "u@A.test"), "u@A.test");
	assert_string_equal(ask(q, "u@b.test"), "u@b.test");
	assert_string_equal(ask(q, "u@c.a.test"), "-");
	assert_string_equal(ask(q, "a.test"), "-");
	assert_string_equal(ask(q, "@a.test"), "-");
	table_query_free(&q);
	q = open_text("query = %s\ndomain = fail:x\n", &err);
	assert_int_equal(table_query_wants(q, SLICE("u@x"), &err), -1);
	table_query_free(&q);
}

static void results_are_formatted_and_limited(void **state)
{
	struct err err;
	struct table_query *q = open_text("query = %s\nresult_format = %U:%u@[%d]%%%1\nexpansion_limit = 2\n", &err);
	struct query_result r = { 0 };
	struct slice key = SLICE("k@x.test");

	assert_non_null(q);
	assert_int_equal(table_query_wants(q, SLICE("nodomain"), &err), 0);
	assert_true(table_query_add(q, key, SLICE("a@b"), &r, &err));
	assert_true(table_query_add(q, key, SLICE("unqualified"), &r, &err));
	assert_true(table_query_add(q, key, SLICE("@nobody"), &r, &err));
	assert_true(table_query_add(q, key, SLICE(""), &r, &err));
	assert_true(table_query_add(q, key, SLICE("c@d"), &r, &err));
	assert_string_equal(str_cstr(&r.text), "k:a@[b]%test,k:c@[d]%test");
	assert_false(table_query_add(q, key, SLICE("e@f"), &r, &err));
	assert_non_null(strstr(err.text, "Expansion limit exceeded"));
	str_free(&r.text);
	table_query_free(&q);
}

static void bad_settings_are_refused(void **state)
{
	struct err err;

	assert_null(open_text("query = %x\n", &err));
	assert_non_null(strstr(err.text, "invalid query template"));
	assert_null(open_text("query = %s\nresult_format = 100%\n", &err));
	assert_non_null(strstr(err.text, "invalid result template"));
	assert_null(open_text("query = %s\nexpansion_limit = many\n", &err));
	assert_null(open_text("query = %s\nexpansion_limit = -1\n", &err));
	assert_null(open_text("nonsense\n", &err));
	assert_null(table_settings_open("/nonexistent/x", &err));
	assert_int_equal(err.code, ERR_TEMPORARY);
}

static void a_name_is_a_prefix_in_main_cf(void **state)
{
	char dir[] = "/tmp/postrider-query-XXXXXX", path[64];
	struct err err;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	FILE *f = fopen(path, "w");

	fputs("who = world\nx_query = hello $who %s\nx_expansion_limit = 3\n", f);
	fclose(f);
	assert_null(table_settings_open("x", &err));
	struct config *config = config_load(dir, NULL, 0, &err);

	assert_non_null(config);
	tables_use_config(config);
	struct table_settings *s = table_settings_open("x", &err);
	long limit;

	assert_non_null(s);
	assert_string_equal(table_settings_sql(s, &err), "hello world %s");
	assert_true(table_settings_int(s, "expansion_limit", 0, 0, 5, &limit, &err));
	assert_int_equal(limit, 3);
	assert_false(table_settings_int(s, "expansion_limit", 0, 0, 2, &limit, &err));
	table_settings_free(&s);
	tables_use_config(NULL);
	config_free(&config);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates_take_parts_of_the_key),
		cmocka_unit_test(older_settings_make_a_query),
		cmocka_unit_test(keys_that_cannot_be_are_not_found),
		cmocka_unit_test(domain_limits_the_keys),
		cmocka_unit_test(results_are_formatted_and_limited),
		cmocka_unit_test(bad_settings_are_refused),
		cmocka_unit_test(a_name_is_a_prefix_in_main_cf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
