/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "master/listen.h"

static void split(const char *name, const char *host, const char *port)
{
	char h[64], p[32];

	assert_true(listen_split(name, h, sizeof(h), p, sizeof(p)));
	assert_string_equal(h, host);
	assert_string_equal(p, port);
}

static void names_are_split(void **state)
{
	char h[64], p[32];

	split("smtp", "", "smtp");
	split("25", "", "25");
	split(":25", "", "25");
	split("127.0.0.1:2525", "127.0.0.1", "2525");
	split("mail.example:submission", "mail.example", "submission");
	split("[::1]:25", "::1", "25");
	split("[ipv6:::1]:25", "::1", "25");
	split("[192.0.2.1]:smtp", "192.0.2.1", "smtp");
	split("::1:25", "::1", "25");
	assert_false(listen_split("", h, sizeof(h), p, sizeof(p)));
	assert_false(listen_split("host:", h, sizeof(h), p, sizeof(p)));
	assert_false(listen_split("[::1]", h, sizeof(h), p, sizeof(p)));
	assert_false(listen_split("[::1", h, sizeof(h), p, sizeof(p)));
	assert_false(listen_split("localhost:12345678901234567890123456789012", h, sizeof(h), p, sizeof(p)));
}

static struct config *make_config(char *directory, const char *interfaces, const char *protocols)
{
	struct config_override o[] = { { "inet_interfaces", interfaces }, { "inet_protocols", protocols } };
	struct str path = { 0 };
	struct err err = { 0 };
	struct config *config;
	FILE *file;

	str_printf(&path, "%s/main.cf", directory);
	file = fopen(str_cstr(&path), "w");
	assert_non_null(file);
	fclose(file);
	config = config_load(directory, o, 2, &err);
	if (!config)
		fail_msg("%s", err.text);
	unlink(str_cstr(&path));
	str_free(&path);
	return config;
}

static void sockets_are_kept_and_closed(void **state)
{
	char directory[] = "/tmp/postrider-listen-XXXXXX";
	struct listener *found[LISTEN_MAX], *again[LISTEN_MAX];
	size_t count = 0, same = 0;
	struct err err = { 0 };
	struct config *config;
	char *name;
	int fd;

	assert_non_null(mkdtemp(directory));
	config = make_config(directory, "loopback-only", "ipv4");
	listen_begin();
	assert_true(listen_inet(config, "0", found, &count, &err));
	assert_int_equal(count, 1);
	assert_string_equal(found[0]->key, "127.0.0.1:0");
	listen_commit();
	fd = found[0]->fd;

	/* The next plan wants it too: the same socket; and fails later: it stays. */
	listen_begin();
	assert_true(listen_inet(config, "127.0.0.1:0", again, &same, &err));
	assert_ptr_equal(again[0], found[0]);
	assert_true(again[0]->fd == fd);
	/* One service only. */
	size_t third = 0;

	assert_false(listen_inet(config, "0", again, &third, &err));
	listen_abandon();
	assert_true(found[0]->wanted);

	/* A Unix socket comes and goes with its file. */
	struct str path = { 0 };

	str_printf(&path, "%s/socket", directory);
	listen_begin();
	assert_non_null(listen_unix(str_cstr(&path), &err));
	assert_int_equal(access(str_cstr(&path), F_OK), 0);
	listen_commit();
	listen_begin();
	listen_commit();
	assert_int_not_equal(access(str_cstr(&path), F_OK), 0);
	str_free(&path);

	name = mem_strdup("256.256.256.256.invalid:25");
	count = 0;
	assert_false(listen_inet(config, name, found, &count, &err));
	free(name);
	config_free(&config);
	rmdir(directory);
}

static void protocols_limit_families(void **state)
{
	char directory[] = "/tmp/postrider-listen-XXXXXX";
	struct listener *found[LISTEN_MAX];
	size_t count = 0;
	struct err err = { 0 };
	struct config *config;

	assert_non_null(mkdtemp(directory));
	config = make_config(directory, "all", "ipv4");
	listen_begin();
	assert_false(listen_inet(config, "[::1]:0", found, &count, &err));
	assert_int_equal(count, 0);
	listen_abandon();
	config_free(&config);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_split),
		cmocka_unit_test(sockets_are_kept_and_closed),
		cmocka_unit_test(protocols_limit_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
