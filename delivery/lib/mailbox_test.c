/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "delivery/lib/mailbox.h"

#define BODY "Subject: x\r\n\r\nFrom me\r\n>From you\r\n.dot\r\nlast\r\n"

struct fixture {
	char folder[64], box[96], dir[96];
	struct content content;
	struct arena *arena;
	struct mailbox mailbox;
};

/* A stored message whose content is `body`, `times` over. */
static void make_message(struct fixture *f, const char *body, size_t times)
{
	struct message_recipient recipient = { .address = SLICE("a@b.test"), .status = RECIPIENT_PENDING };
	struct message_envelope envelope = { .origin = ORIGIN_SMTP, .recipients = &recipient, .recipient_count = 1 };
	struct message_layout layout = { .state = MESSAGE_COMMITTED, .id = "4jb6q30NPyzvdvVPQ" };
	int fd = open(f->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct err err;

	assert_true(fd >= 0);
	for (size_t i = 0; i < times; i++)
		assert_int_equal(pwrite(fd, body, strlen(body), (off_t)(MESSAGE_CONTENT_OFFSET + i * strlen(body))), strlen(body));
	layout.content.length = times * strlen(body);
	layout.content.header_length = 14;
	assert_true(message_write(fd, &envelope, &layout, SLICE("Received: by x\r\n"), &err));
	assert_true(content_open(&f->content, fd, f->arena, &err));
	f->content.head = SLICE("From a  Thu\nReturn-Path: <a@b.test>\n");
	f->content.flags = CONTENT_QUOTE_FROM | CONTENT_BLANK_LINE;
}

static int start(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "/tmp/postrider-mailbox-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->box, sizeof(f->box), "%s/box", f->folder);
	snprintf(f->dir, sizeof(f->dir), "%s/sub/dir/", f->folder);
	f->arena = arena_create(0);
	f->mailbox = (struct mailbox){ .path = f->box, .strict_owner = true,
				       .locks = { .fcntl = true, .dotlock = true, .attempts = 2, .delay = 0.01, .stale = 500 } };
	make_message(f, BODY, 1);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int end(void **state)
{
	struct fixture *f = *state;

	close(f->content.fd);
	arena_free(&f->arena);
	(void)nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static const char *text_of(struct fixture *f, const char *path)
{
	static char text[8192];
	FILE *in = fopen(path, "re");
	size_t len = in ? fread(text, 1, sizeof(text) - 1, in) : 0;

	assert_non_null(in);
	fclose(in);
	text[len] = '\0';
	return text;
}

#define STORED                                                                                                   \
	"From a  Thu\nReturn-Path: <a@b.test>\nReceived: by x\nSubject: x\n\n>From me\n>>From you\n.dot\nlast\n\n"

static void expect(struct fixture *f, const char *dsn, const char *text)
{
	struct outcome o = { 0 };

	mailbox_store(&f->mailbox, &f->content, &o);
	if (strcmp(o.dsn, dsn) != 0 || !strstr(o.text, text))
		fail_msg("%s (%s): %s (%s) was expected", o.dsn, o.text, dsn, text);
}

static void put_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "we");

	fputs(text, out);
	fclose(out);
}

static void appends(void **state)
{
	struct fixture *f = *state;

	expect(f, "2.0.0", "delivered to mailbox");
	assert_string_equal(text_of(f, f->box), STORED);
	expect(f, "2.0.0", "delivered to mailbox");
	assert_string_equal(text_of(f, f->box), STORED STORED);
	assert_int_equal(access(arena_printf(f->arena, "%s.lock", f->box), F_OK), -1);
}

static void maildir(void **state)
{
	struct fixture *f = *state;
	glob_t found;

	f->mailbox.path = f->dir;
	f->content.head = SLICE("Return-Path: <>\n");
	f->content.flags = 0;
	expect(f, "2.0.0", "delivered to maildir");
	assert_int_equal(glob(arena_printf(f->arena, "%s/new/*", f->dir), 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	assert_string_equal(text_of(f, found.gl_pathv[0]),
			    "Return-Path: <>\nReceived: by x\nSubject: x\n\nFrom me\n>From you\n.dot\nlast\n");
	globfree(&found);
	assert_int_equal(glob(arena_printf(f->arena, "%s/tmp/*", f->dir), 0, NULL, &found), GLOB_NOMATCH);
	f->mailbox.limit = 20;
	expect(f, "5.2.2", "larger than");
}

static void full_by_limit(void **state)
{
	struct fixture *f = *state;

	expect(f, "2.0.0", "");
	f->mailbox.limit = 180;
	expect(f, "5.2.2", "the mailbox is full");
	assert_string_equal(text_of(f, f->box), STORED);
}

static void locked_by_another(void **state)
{
	struct fixture *f = *state;
	char *lock = arena_printf(f->arena, "%s.lock", f->box);
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	put_file(lock, "");
	expect(f, "4.2.0", "cannot lock");
	assert_int_equal(access(f->box, F_OK), -1);
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(utimensat(AT_FDCWD, lock, old, 0), 0);
	expect(f, "2.0.0", "delivered to mailbox");
}

static void strange_files(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("/etc/passwd", f->box), 0);
	expect(f, "4.2.0", "cannot open mailbox");
	unlink(f->box);
	assert_int_equal(mkfifo(f->box, 0600), 0);
	expect(f, "5.2.0", "not a regular file");
	unlink(f->box);
	put_file(f->box, "");
	assert_int_equal(link(f->box, arena_printf(f->arena, "%s2", f->box)), 0);
	expect(f, "5.2.0", "only one name");
	f->mailbox.path = "/dev/null";
	f->mailbox.any_file = true;
	expect(f, "2.0.0", "delivered to file: /dev/null");
	f->mailbox.path = "/dev/full";
	expect(f, "4.3.0", "No space left");
	if (getuid() == 0) {
		f->mailbox.path = arena_printf(f->arena, "%s/other", f->folder);
		f->mailbox.any_file = false;
		put_file(f->mailbox.path, "");
		assert_int_equal(chown(f->mailbox.path, 12345, 12345), 0);
		expect(f, "4.2.0", "not owned by recipient");
	}
}

/* The kernel stops us in the middle of a message. */
static void cut_short(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small;

	expect(f, "2.0.0", "");
	close(f->content.fd);
	make_message(f, BODY, 4000);
	f->content.flags = CONTENT_QUOTE_FROM | CONTENT_BLANK_LINE;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 100000, before.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	expect(f, "5.2.2", "File too large");
	assert_string_equal(text_of(f, f->box), STORED);
	f->mailbox.path = f->dir;
	expect(f, "5.2.2", "File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	glob_t found;

	assert_int_equal(glob(arena_printf(f->arena, "%s/[nt]*/*", f->dir), 0, NULL, &found), GLOB_NOMATCH);
}

/* A file system that is full. */
static void no_space(void **state)
{
	struct fixture *f = *state;
	char *disk = arena_printf(f->arena, "%s/disk", f->folder);

	assert_int_equal(mkdir(disk, 0700), 0);
	if (mount("tmpfs", disk, "tmpfs", 0, "size=128k") != 0)
		skip();
	f->mailbox.path = arena_printf(f->arena, "%s/box", disk);
	expect(f, "2.0.0", "");
	close(f->content.fd);
	make_message(f, BODY, 8000);
	expect(f, "4.3.0", "No space left");
	assert_string_equal(text_of(f, f->mailbox.path), STORED);
	f->mailbox.path = arena_printf(f->arena, "%s/dir/", disk);
	expect(f, "4.3.0", "No space left");
	glob_t found;

	assert_int_equal(glob(arena_printf(f->arena, "%s/dir/[nt]*/*", disk), 0, NULL, &found), GLOB_NOMATCH);
	assert_int_equal(umount(disk), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(appends, start, end),
		cmocka_unit_test_setup_teardown(maildir, start, end),
		cmocka_unit_test_setup_teardown(full_by_limit, start, end),
		cmocka_unit_test_setup_teardown(locked_by_another, start, end),
		cmocka_unit_test_setup_teardown(strange_files, start, end),
		cmocka_unit_test_setup_teardown(cut_short, start, end),
		cmocka_unit_test_setup_teardown(no_space, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
