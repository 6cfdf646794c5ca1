/* SPDX-License-Identifier: ISC */
/* An index that is built when it is missing or old. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "tables/db_format.h"
#include "tables/served_index.h"
#include "tables/table.h"

#ifdef HAVE_LMDB
static char folder[] = "/tmp/postrider-index-XXXXXX";
static char name[64], spec[80], file[80];

static void write_source(const char *text, time_t when)
{
	struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };
	FILE *f = fopen(name, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

static void expect(const char *key, const char *value)
{
	struct arena *arena = arena_create(0);
	struct err err = { 0 };
	struct slice got;
	struct table *table = table_open(spec, &err);

	if (!table)
		fail_msg("%s", err.text);
	assert_int_equal(table_lookup(table, slice_of(key), arena, &got, &err), value ? TABLE_FOUND : TABLE_NOT_FOUND);
	if (value)
		assert_string_equal(got.ptr, value);
	table_close(&table);
	arena_free(&arena);
}

static void it_follows_its_source(void **state)
{
	struct err err = { 0 };

	assert_false(served_index_renew(name, &err));
	assert_non_null(strstr(err.text, name));
	/* Missing. */
	write_source("a 1\n", 1000);
	assert_true(served_index_renew(name, &err));
	expect("a", "1");
	/* Newer than the source: left alone. */
	write_source("a 2\n", 1001);
	assert_true(served_index_renew(name, &err));
	expect("a", "1");
	/* Older. */
	write_source("a 3\n", time(NULL) + 100);
	assert_true(served_index_renew(name, &err));
	expect("a", "3");
	/* Without a source the index serves. */
	assert_int_equal(unlink(name), 0);
	assert_true(served_index_renew(name, &err));
	expect("a", "3");
	assert_int_equal(unlink(file), 0);
}

#ifndef HAVE_BDB
static void hash_and_btree_are_served(void **state)
{
	snprintf(spec, sizeof(spec), "hash:%s", name);
	write_source("a 1\n", 1000);
	expect("A", "1");
	assert_int_equal(unlink(file), 0);
	snprintf(spec, sizeof(spec), "btree:%s", name);
	expect("a", "1");
	expect("b", NULL);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(unlink(name), 0);
}
#endif

static int set_up(void **state)
{
	log_open("test", -1, false);
	if (!mkdtemp(folder))
		return -1;
	snprintf(name, sizeof(name), "%s/t", folder);
	snprintf(spec, sizeof(spec), "lmdb:%s", name);
	snprintf(file, sizeof(file), "%s.lmdb", name);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(folder);
}
#endif

int main(void)
{
#ifdef HAVE_LMDB
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_follows_its_source),
#ifndef HAVE_BDB
		cmocka_unit_test(hash_and_btree_are_served),
#endif
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
#else
	return 0;
#endif
}
