/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtpd/screen_cache.h"

static char path[] = "/tmp/postrider-screen-XXXXXX";

static int make(void **state)
{
	return mkdtemp(path) ? 0 : -1;
}

static int clear(void **state)
{
	return rmdir(path);
}

static int open_cache(char name[100])
{
	struct err err = { 0 };
	int fd;

	snprintf(name, 100, "%s/cache", path);
	fd = screen_cache_open(name, &err);
	assert_true(fd >= 0);
	return fd;
}

static void test_what_is_stored_is_found_again(void **state)
{
	struct screen_passed p = { .until = { [SCREEN_PREGREET] = 2000, [SCREEN_BARE_LF] = 3000 } }, got;
	char name[100];
	int fd = open_cache(name), other;

	screen_cache_store(fd, "192.0.2.1", &p, 1000);
	p = (struct screen_passed){ .until = { [SCREEN_DNSBL] = 4000, [SCREEN_BARE_LF] = 500 } };
	screen_cache_store(fd, "192.0.2.1", &p, 1000);
	screen_cache_store(fd, "2001:db8::1", &p, 1000);
	other = open_cache(name);
	screen_cache_find(other, "192.0.2.1", &got);
	assert_true(got.until[SCREEN_PREGREET] == 2000 && got.until[SCREEN_DNSBL] == 4000 && got.until[SCREEN_BARE_LF] == 3000);
	screen_cache_find(other, "2001:db8::1", &got);
	assert_true(got.until[SCREEN_DNSBL] == 4000 && got.until[SCREEN_PREGREET] == 0);
	screen_cache_find(other, "192.0.2.2", &got);
	assert_true(got.until[SCREEN_DNSBL] == 0);
	screen_cache_store(fd, "unknown", &p, 1000);
	screen_cache_find(other, "unknown", &got);
	assert_true(got.until[SCREEN_DNSBL] == 0);
	close(fd);
	close(other);
	unlink(name);
}

/* More clients than there is room for: each is found or not, never with what another passed. */
static void test_a_crowd(void **state)
{
	char name[100], address[40];
	int fd = open_cache(name), found = 0;
	struct screen_passed got;

	for (unsigned i = 0; i < 200000; i++) {
		struct screen_passed p = { .until = { 10000.0 + i } };

		snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
		screen_cache_store(fd, address, &p, 1000);
	}
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
		screen_cache_find(fd, address, &got);
		assert_true(got.until[0] == 0 || got.until[0] == 10000.0 + i);
		found += got.until[0] != 0;
	}
	assert_true(found > 60000);
	close(fd);
	unlink(name);
}

static void test_damage(void **state)
{
	struct screen_passed p = { .until = { 2000, 2000, 2000, 2000, 2000 } }, got;
	char name[100], byte;
	int fd = open_cache(name);
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n;

	screen_cache_store(fd, "192.0.2.1", &p, 1000);
	for (off_t at = 0; at < end; at++) {
		n = pread(fd, &byte, 1, at);
		assert_int_equal(n, 1);
		if (!byte)
			continue;
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		break;
	}
	screen_cache_find(fd, "192.0.2.1", &got);
	assert_true(got.until[0] == 0);
	/* A file that became shorter is made anew. */
	assert_int_equal(ftruncate(fd, 10), 0);
	screen_cache_find(fd, "192.0.2.1", &got);
	assert_true(got.until[0] == 0);
	close(fd);
	fd = open_cache(name);
	screen_cache_store(fd, "192.0.2.1", &p, 1000);
	screen_cache_find(fd, "192.0.2.1", &got);
	assert_true(got.until[0] == 2000);
	close(fd);
	unlink(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_stored_is_found_again), cmocka_unit_test(test_a_crowd),
					    cmocka_unit_test(test_damage) };

	return cmocka_run_group_tests(tests, make, clear);
}
