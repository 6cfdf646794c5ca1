/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup/reuse.h"

static char directory[] = "/tmp/reuse-test-XXXXXX";
static int directory_fd;

#define SECRET "Subject: what nobody else may read\r\n\r\nbody\r\n"

/* A queue file with a message of this state, open. */
static int make_file(const char *name, enum message_state state)
{
	struct message_layout layout = { .state = MESSAGE_COMMITTED, .content = { .length = strlen(SECRET) } };
	struct message_recipient r = { .address = SLICE("a@example.com") };
	struct message_envelope e = { .origin = ORIGIN_SMTP, .recipients = &r, .recipient_count = 1 };
	struct err err;
	int fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	message_id_make(layout.id, name);
	assert_int_equal(pwrite(fd, SECRET, strlen(SECRET), MESSAGE_CONTENT_OFFSET), strlen(SECRET));
	assert_true(message_write(fd, &e, &layout, SLICE("Received: x\r\n"), &err));
	if (state != MESSAGE_COMMITTED)
		assert_true(message_set_state(fd, &layout, state, &err));
	return fd;
}

static bool exists(const char *name)
{
	return faccessat(directory_fd, name, F_OK, 0) == 0;
}

static void clears(void **state)
{
	struct queue_slot slots[2] = { { .name = "KD40xA" }, { .name = "KD40xB" } };
	struct message_layout layout;
	char content[65536];
	struct err err;

	close(make_file("KD40xA", MESSAGE_FREE));
	close(make_file("KD40xB", MESSAGE_FREE));
	assert_int_equal(reuse_slots(directory_fd, slots, 2), 2);
	for (int i = 0; i < 2; i++) {
		ssize_t n = pread(slots[i].fd, content, sizeof(content), 0);

		assert_true(n > MESSAGE_CONTENT_OFFSET);
		for (ssize_t at = MESSAGE_CONTENT_OFFSET; at < n; at++)
			assert_int_equal(content[at], 0);
		assert_false(message_read_layout(slots[i].fd, &layout, &err));
		assert_int_equal(layout.state, MESSAGE_OPEN);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		/* Locked: whoever looks for leftovers sees that it is in use. */
		int other = openat(directory_fd, slots[i].name, O_RDWR);

		assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
		close(other);
		close(slots[i].fd);
		unlinkat(directory_fd, slots[i].name, 0);
	}
}

/* Whoever had the file of an earlier message would see the next one. */
static void not_while_open(void **state)
{
	static const int modes[] = { O_RDONLY, O_RDWR };

	for (size_t i = 0; i < 2; i++) {
		struct queue_slot slot = { .name = "KD40xA" };
		int fd = make_file("KD40xA", MESSAGE_FREE);
		int other = openat(directory_fd, "KD40xA", modes[i]);

		close(fd);
		assert_int_equal(reuse_slots(directory_fd, &slot, 1), 0);
		assert_false(exists("KD40xA"));
		close(other);
	}
}

static void not_with_a_message(void **state)
{
	struct queue_slot slots[4] = { { .name = "KD40xA" }, { .name = "KD40xB" }, { .name = "KD40xC" }, { .name = "KD40xD" } };
	int fd;

	close(make_file("KD40xA", MESSAGE_COMMITTED));
	close(make_file("KD40xB", MESSAGE_HOLD));
	fd = make_file("KD40xC", MESSAGE_FREE);
	assert_int_equal(ftruncate(fd, MESSAGE_REUSE_MAX + 1), 0);
	close(fd);
	close(make_file("KD40xD", MESSAGE_FREE));
	assert_int_equal(reuse_slots(directory_fd, slots, 4), 1);
	assert_string_equal(slots[0].name, "KD40xD");
	close(slots[0].fd);
	/* A message is never removed by mistake. */
	assert_true(exists("KD40xA"));
	assert_true(exists("KD40xB"));
	assert_false(exists("KD40xC"));
	for (const char **name = (const char *[]){ "KD40xA", "KD40xB", "KD40xD", NULL }; *name; name++)
		unlinkat(directory_fd, *name, 0);
}

static int setup(void **state)
{
	directory_fd = mkdtemp(directory) ? open(directory, O_RDONLY | O_DIRECTORY) : -1;
	return directory_fd < 0;
}

static int teardown(void **state)
{
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clears), cmocka_unit_test(not_while_open), cmocka_unit_test(not_with_a_message),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
