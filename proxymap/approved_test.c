/* SPDX-License-Identifier: ISC */
/* proxymap serves the tables that the configuration names, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/str.h"
#include "proxymap/approved.h"

static char dir[] = "/tmp/postrider-approved-XXXXXX";

static void write_file(const char *name, const char *text)
{
	struct str path = { 0 };
	FILE *f;

	str_printf(&path, "%s/%s", dir, name);
	f = fopen(str_cstr(&path), "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	str_free(&path);
}

static bool serves(struct approved *a, const char *spec)
{
	return approved_find(a, slice_of(spec)) != NULL;
}

static void only_what_is_named_is_served(void **state)
{
	struct err err;
	struct config *config;
	struct approved *a;

	write_file("main.cf", "virtual_alias_maps = hash:/x pgsql:/named, proxy:mysql:/proxied\n"
			      "transport_maps = unionmap:{ldap:/inner,inline:{a=b}}\n"
			      "my_class = check_client_access redis:/class, reject\n"
			      "smtpd_sender_restrictions = check_policy_service unix:private/plain,\n"
			      "  check_policy_service { inet:[::1]:10023, timeout=3s }\n"
			      "other = policy:inet:host:1\n"
			      "mynetworks = !pgsql:/negated 127.0.0.1\n"
			      "unlisted = proxy:pgsql:/unlisted\n");
	write_file("master.cf", "submission inet n - y - - smtpd\n"
				"  -o smtpd_sender_login_maps=pgsql:/from_master\n"
				"  -o { smtpd_relay_restrictions = check_recipient_access ldap:/braces, reject }\n");
	config = config_load(dir, NULL, 0, &err);
	assert_non_null(config);
	tables_use_config(config);
	a = approved_create(config);
	assert_true(serves(a, "pgsql:/named"));
	assert_true(serves(a, "ldap:/inner"));
	assert_true(serves(a, "redis:/class"));
	assert_true(serves(a, "pgsql:/negated"));
	assert_true(serves(a, "pgsql:/from_master"));
	assert_true(serves(a, "ldap:/braces"));
	/* Policy services: what a restriction names. */
	assert_true(serves(a, "policy:unix:private/plain"));
	assert_true(serves(a, "policy:inet:[::1]:10023"));
	assert_false(serves(a, "policy:inet:host:1"));
	/* With proxy: what proxy_read_maps has; its default names the usual parameters. */
	assert_true(serves(a, "proxy:mysql:/proxied"));
	assert_false(serves(a, "mysql:/proxied"));
	assert_false(serves(a, "proxy:pgsql:/named"));
	assert_false(serves(a, "proxy:pgsql:/unlisted"));
	assert_false(serves(a, "pgsql:/unlisted"));
	/* Not even asked for through proxymap: opened by who wants it. */
	assert_false(serves(a, "hash:/x"));
	assert_false(serves(a, "pgsql:/etc/shadow"));
	assert_false(serves(a, ""));
	/* No server type is in this program: each says why it could not be opened. */
	assert_null(approved_find(a, SLICE("pgsql:/named"))->table);
	assert_non_null(strstr(approved_find(a, SLICE("pgsql:/named"))->reason.text, "table pgsql:/named"));
	assert_false(approved_changed(a));
	approved_free(&a);
	tables_use_config(NULL);
	config_free(&config);
}

static void proxy_read_maps_is_respected(void **state)
{
	struct err err;
	struct config *config;
	struct approved *a;

	write_file("main.cf", "virtual_alias_maps = proxy:mysql:/proxied\n"
			      "proxy_read_maps = proxy:pgsql:/only, redis:/in_a_file_of_patterns\n");
	write_file("master.cf", "");
	config = config_load(dir, NULL, 0, &err);
	assert_non_null(config);
	a = approved_create(config);
	assert_int_equal(approved_count(a), 2);
	assert_true(serves(a, "proxy:pgsql:/only"));
	assert_true(serves(a, "redis:/in_a_file_of_patterns"));
	approved_free(&a);
	config_free(&config);
}

/* Tables that a process opens itself heed it too. */
static void proxy_in_front_is_refused_elsewhere(void **state)
{
	struct err err = { 0 };
	struct config *config;
	struct table *table;
	struct arena *arena = arena_create(0);
	struct slice value;

	write_file("main.cf", "proxy_read_maps = proxy:static:named\n");
	config = config_load(dir, NULL, 0, &err);
	assert_non_null(config);
	tables_use_config(config);
	table = table_open("proxy:static:named", &err);
	assert_non_null(table);
	table_close(&table);
	assert_null(table_open("proxy:static:other", &err));
	assert_non_null(strstr(err.text, "proxy_read_maps"));
	assert_non_null(strstr(err.text, "proxy:static:other"));
	struct table_list *list = table_list_open("proxy:static:other", &err);

	assert_int_equal(table_list_lookup(list, SLICE("x"), arena, &value, &err), TABLE_ERROR);
	assert_non_null(strstr(err.text, "proxy_read_maps"));
	table_list_close(&list);
	arena_free(&arena);
	tables_use_config(NULL);
	config_free(&config);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	write_file("main.cf", "");
	write_file("master.cf", "");
	if (chdir(dir) != 0 || unlink("main.cf") != 0 || unlink("master.cf") != 0)
		return -1;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_named_is_served),
		cmocka_unit_test(proxy_read_maps_is_respected),
		cmocka_unit_test(proxy_in_front_is_refused_elsewhere),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
