/* SPDX-License-Identifier: ISC */
/* Tables in files: what is built is found, forms of keys, changes, and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tables/build.h"
#include "tables/table_types.h"

static const char *const types[] = { "hash", "btree", "lmdb", "cdb" };
#define NUMBERS 12000
#define STEPS   6
#define TYPES   (sizeof(types) / sizeof(types[0]))

static char folder[] = "/tmp/postrider-db-XXXXXX";
static char name[64];
static struct arena *arena;

static FILE *source_of(const char *text)
{
	FILE *f = fopen(name, "w+e");

	assert_non_null(f);
	fputs(text, f);
	rewind(f);
	return f;
}

static struct table_build how(const char *type)
{
	return (struct table_build){ .format = db_format_find(slice_of(type)), .name = name };
}

static void build(const struct table_build *b, const char *text)
{
	FILE *source = source_of(text);
	struct err err = { 0 };

	if (!table_build(b, source, &err))
		fail_msg("%s", err.text);
	fclose(source);
}

static struct table *open_table(const char *type)
{
	struct str spec = { 0 };
	struct err err = { 0 };
	struct table *table;

	str_printf(&spec, "%s:%s", type, name);
	table = table_open(str_cstr(&spec), &err);
	if (!table)
		fail_msg("%s", err.text);
	str_free(&spec);
	return table;
}

static void expect(struct table *table, const char *key, const char *value)
{
	struct slice got;
	struct err err = { 0 };
	enum table_result result = table_lookup(table, slice_of(key), arena, &got, &err);

	if (result == TABLE_ERROR)
		fail_msg("%s", err.text);
	assert_int_equal(result, value ? TABLE_FOUND : TABLE_NOT_FOUND);
	if (value)
		assert_string_equal(arena_cstr(arena, got), value);
}

static void what_is_built_is_found(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		for (enum build_nul nul = NUL_BY_FORMAT; nul <= NUL_NEVER; nul++) {
			struct table_build b = how(types[i]);

			b.nul = nul;
			build(&b, "# x\nKey one\n\"a b\"   two  words\nkey again\nc d\n  e\nonly\n");
			struct table *table = open_table(types[i]);

			expect(table, "key", "one");
			expect(table, "KEY", "one");
			expect(table, "\"a b\"", "two  words");
			expect(table, "c", "d  e");
			expect(table, "only", NULL);
			expect(table, "", NULL);
			expect(table, "kez", NULL);
			table_close(&table);
		}
	}
}

static void many_entries_and_large_values(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		struct table_build b = how(types[i]);
		struct str text = { 0 }, large = { 0 };
		char key[32], value[32];

		for (int n = 0; n < 70000; n++)
			str_append_byte(&large, (char)('a' + n % 26));
		for (int n = 0; n < 20000; n++)
			str_printf(&text, "key%d value%d\n", n * 7919 % 20000, n * 7919 % 20000);
		str_printf(&text, "large %s\n", str_cstr(&large));
		build(&b, str_cstr(&text));
		struct table *table = open_table(types[i]);

		for (int n = 0; n < 20000; n++) {
			snprintf(key, sizeof(key), "key%d", n);
			snprintf(value, sizeof(value), "value%d", n);
			expect(table, key, value);
			arena_reset(arena);
		}
		expect(table, "key20000", NULL);
		expect(table, "large", str_cstr(&large));
		table_close(&table);
		str_free(&text);
		str_free(&large);
	}
}

static void which_of_two_counts(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		struct table_build b = how(types[i]);

		b.replace = true;
		build(&b, "a 1\na 2\nb 1\nB 2\nA 3\n");
		struct table *table = open_table(types[i]);

		expect(table, "a", "3");
		expect(table, "b", "2");
		table_close(&table);
	}
}

static bool one_key(void *context, struct slice *key)
{
	const char **next = context;

	*key = slice_of(*next);
	*next = NULL;
	return key->ptr != NULL;
}

static void changes_are_made_and_seen(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		struct table_build b = how(types[i]);
		const char *key = "A";
		struct err err = { 0 };
		FILE *more;

		build(&b, "a 1\nb 2\n");
		struct table *table = open_table(types[i]);

		assert_false(table_changed(table));
		more = source_of("c 3\nb ignored\n");
		if (!b.format->open_for_change) {
			assert_false(table_build_add(&b, more, &err));
			assert_int_equal(table_build_delete(&b, one_key, &key, &err), -1);
		} else {
			assert_true(table_build_add(&b, more, &err));
			assert_int_equal(table_build_delete(&b, one_key, &key, &err), 1);
			key = "nope";
			assert_int_equal(table_build_delete(&b, one_key, &key, &err), 0);
			assert_true(table_changed(table));
			table_close(&table);
			table = open_table(types[i]);
			expect(table, "a", NULL);
			expect(table, "b", "2");
			expect(table, "c", "3");
		}
		fclose(more);
		table_close(&table);
		table = open_table(types[i]);
		build(&b, "new 1\n");
		assert_true(table_changed(table));
		table_close(&table);
	}
}

static void add_numbers(const struct table_build *b, int from, int step)
{
	struct str text = { 0 };
	struct err err = { 0 };
	FILE *more;

	for (int n = from; n < NUMBERS; n += step)
		str_printf(&text, "key%05d %d\n", n, from);
	more = source_of(str_cstr(&text));
	if (!table_build_add(b, more, &err))
		fail_msg("%s", err.text);
	fclose(more);
	str_free(&text);
}

/*
 * An open table shows what was changed in the same file, also where pages were kept: several times, so
 * that LMDB uses pages again that it had given up.
 */
static void an_open_table_shows_changes(void **state)
{
	static const char *const changed[] = { "hash", "btree", "lmdb" };

	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		struct table_build b = how(changed[i]);
		char key[32], value[32];

		build(&b, "first 1\n");
		struct table *table = open_table(changed[i]);

		for (int from = 0; from < STEPS; from++) {
			add_numbers(&b, from, STEPS);
			for (int n = 0; n < NUMBERS; n++) {
				snprintf(key, sizeof(key), "key%05d", n);
				snprintf(value, sizeof(value), "%d", n % STEPS);
				expect(table, key, n % STEPS <= from ? value : NULL);
				arena_reset(arena);
			}
		}
		table_close(&table);
	}
}

static void owner_and_mode_stay(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		struct table_build b = how(types[i]);
		struct str file = { 0 };
		struct stat st;

		str_printf(&file, "%s%s", name, b.format->suffix);
		(void)unlink(str_cstr(&file));
		(void)unlink(name);
		fclose(source_of(""));
		assert_int_equal(chmod(name, 0640), 0);
		build(&b, "a 1\n");
		assert_int_equal(stat(str_cstr(&file), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(chmod(str_cstr(&file), 0604), 0);
		build(&b, "a 2\n");
		assert_int_equal(stat(str_cstr(&file), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0604);
		(void)unlink(str_cstr(&file));
		b.plain_mode = true;
		build(&b, "a 2\n");
		assert_int_equal(stat(str_cstr(&file), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0644);
		str_free(&file);
	}
}

/* Each way to damage a file gives an error or an honest answer, and names the table. */
static void damage_is_an_error(void **state)
{
	for (size_t i = 0; i < TYPES; i++) {
		struct table_build b = how(types[i]);
		struct str text = { 0 }, spec = { 0 }, file = { 0 };
		struct err err = { 0 };
		struct slice value;
		struct stat st;

		for (int n = 0; n < 2000; n++)
			str_printf(&text, "key%d value%d\n", n, n);
		build(&b, str_cstr(&text));
		/* Nothing to build it from anew. */
		assert_int_equal(unlink(name), 0);
		str_printf(&spec, "%s:%s", types[i], name);
		str_printf(&file, "%s%s", name, b.format->suffix);
		struct table *table = table_open(str_cstr(&spec), &err);

		/* It shrinks while it is open. */
		assert_int_equal(stat(str_cstr(&file), &st), 0);
		assert_int_equal(truncate(str_cstr(&file), st.st_size / 4), 0);
		assert_true(table_changed(table));
		unsigned errors = 0;

		for (int n = 0; n < 2000; n++) {
			char key[32];

			snprintf(key, sizeof(key), "key%d", n);
			if (table_lookup(table, slice_of(key), arena, &value, &err) == TABLE_ERROR) {
				errors++;
				assert_non_null(strstr(err.text, str_cstr(&spec)));
			}
			arena_reset(arena);
		}
		assert_true(errors > 0);
		table_close(&table);
		/* It is something else. */
		for (off_t size = 0; size < 100; size += 33) {
			assert_int_equal(truncate(str_cstr(&file), size), 0);
			table = table_open(str_cstr(&spec), &err);
			assert_null(table);
			assert_non_null(strstr(err.text, str_cstr(&spec)));
		}
		assert_int_equal(unlink(str_cstr(&file)), 0);
		assert_null(table_open(str_cstr(&spec), &err));
		str_free(&text);
		str_free(&spec);
		str_free(&file);
	}
}

static int set_up(void **state)
{
	arena = arena_create(0);
	log_open("test", -1, false);
	if (!mkdtemp(folder))
		return -1;
	snprintf(name, sizeof(name), "%s/t", folder);
	return 0;
}

static int tear_down(void **state)
{
	struct str file = { 0 };

	arena_free(&arena);
	for (size_t i = 0; i < TYPES; i++) {
		str_clear(&file);
		str_printf(&file, "%s%s", name, db_format_find(slice_of(types[i]))->suffix);
		(void)unlink(str_cstr(&file));
	}
	str_free(&file);
	(void)unlink(name);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_built_is_found),
		cmocka_unit_test(many_entries_and_large_values),
		cmocka_unit_test(which_of_two_counts),
		cmocka_unit_test(changes_are_made_and_seen),
		cmocka_unit_test(an_open_table_shows_changes),
		cmocka_unit_test(owner_and_mode_stay),
		cmocka_unit_test(damage_is_an_error),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
