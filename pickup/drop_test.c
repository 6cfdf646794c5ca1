/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pickup/drop.h"

static char root[] = "/tmp/pickup-test-XXXXXX";
static struct drop_settings settings = { .message_size_limit = 1000 };

/* A cleanup service whose answer the test sets. */
static struct {
	struct ipc_channel *channel;
	int code, commits, files;
	uint32_t uid;
	uint64_t length;
	char recipient[64];
} server;

static void answer_commit(struct ipc_channel *ch, struct ipc_in *m)
{
	struct cleanup_refusal no = { server.code, "4.3.0", "not now" };
	struct arena *arena = arena_create(0);
	struct message_envelope e;
	struct message_content content;
	struct message_recipient r;
	struct ipc_out out;
	struct err err;
	size_t pos = 0;

	assert_true(cleanup_get_commit(m, arena, &e, &content, &err));
	assert_int_equal(e.origin, ORIGIN_LOCAL);
	server.uid = e.uid;
	server.length = content.length;
	while (cleanup_get_recipient(m, &pos, arena, &r) > 0)
		snprintf(server.recipient, sizeof(server.recipient), "%.*s", SLICE_FMT(r.address));
	arena_free(&arena);
	no.dsn[0] = (char)('0' + server.code / 100);
	if (server.code)
		cleanup_put_refused(&out, m->request, &no);
	else
		ipc_out_start(&out, CLEANUP_COMMITTED, m->request);
	server.commits += !server.code;
	ipc_send(ch, &out);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct ipc_out out;
	char id[MESSAGE_ID_SIZE];

	if (m->type == CLEANUP_COMMIT)
		answer_commit(ch, m);
	if (m->type != CLEANUP_OPEN)
		return;
	snprintf(id, sizeof(id), "FILE%04d", ++server.files);
	ipc_out_start(&out, CLEANUP_OPENED, m->request);
	ipc_put_text(&out, CLEANUP_FIELD_ID, id);
	ipc_put_fd(&out, memfd_create("message", MFD_CLOEXEC));
	ipc_send(ch, &out);
	close(out.fds[0]);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&server.channel);
}

static int give_end(const char *service, double deadline, struct err *err)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	server.channel = ipc_channel_create(pair[1], &cleanup_protocol, &handler, NULL);
	return pair[0];
}

static void drop_file(const char *name, const char *text)
{
	int fd = openat(settings.maildrop, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool there(int directory, const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void look(void)
{
	drop_scan();
	do
		task_sleep(0.02);
	while (drop_active() > 0);
}

static void conversation(void *arg)
{
	char large[1200] = "PRm1\nSme\nRyou\n\n";
	char name[32];

	drop_file("AAAA1", "PRm1\nSme\nRyou@example.com\n\nSubject: x\n\nhello\n");
	look();
	assert_int_equal(server.commits, 1);
	assert_int_equal(server.uid, getuid());
	assert_int_equal(server.length, 21);
	assert_string_equal(server.recipient, "you@example.com");
	assert_false(there(settings.maildrop, "AAAA1"));

	/* A temporary refusal keeps it, a permanent one puts it aside. */
	server.code = 451;
	drop_file("AAAA2", "PRm1\nSme\nRyou\n\nx\n");
	look();
	assert_true(there(settings.maildrop, "AAAA2"));
	server.code = 554;
	look();
	assert_false(there(settings.maildrop, "AAAA2"));
	assert_true(there(settings.corrupt, "AAAA2"));
	server.code = 0;
	/* Rubbish goes; a name that is not ours, a link and a directory do not confuse. */
	drop_file("AAAA3", "rubbish");
	drop_file("tmp.123", "PRm1\nSme\nRyou\n\nx\n");
	drop_file("target", "PRm1\nSme\nRyou\n\nx\n");
	assert_int_equal(renameat(settings.maildrop, "target", settings.corrupt, "target"), 0);
	assert_int_equal(symlinkat("../corrupt/target", settings.maildrop, "AAAA4"), 0);
	assert_int_equal(linkat(settings.corrupt, "target", settings.maildrop, "AAAA5", 0), 0);
	assert_int_equal(mkdirat(settings.maildrop, "AAAA6", 0700), 0);
	assert_int_equal(mkfifoat(settings.maildrop, "AAAA7", 0600), 0);
	memset(large + strlen(large), 'x', 1100);
	drop_file("AAAA8", large);
	look();
	assert_int_equal(server.commits, 1);
	assert_false(there(settings.maildrop, "AAAA3"));
	assert_true(there(settings.maildrop, "tmp.123"));
	assert_false(there(settings.maildrop, "AAAA4"));
	assert_false(there(settings.maildrop, "AAAA5"));
	assert_false(there(settings.maildrop, "AAAA7"));
	assert_true(there(settings.corrupt, "AAAA8"));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "BBBB%d", i);
		drop_file(name, "PRm1\nSme\nRyou\n\nx\n");
	}
	look();
	assert_int_equal(server.commits, 101);
	assert_false(there(settings.maildrop, "BBBB50"));
}

static int open_sub(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void drops(void **state)
{
	struct task_group group = { 0 };
	char command[64];

	assert_non_null(mkdtemp(root));
	settings.maildrop = open_sub("maildrop");
	settings.corrupt = open_sub("corrupt");
	settings.cleanup = ipc_client_create("cleanup", &cleanup_protocol, give_end);
	drop_start(&settings);
	task_spawn(&group, conversation, NULL);
	task_group_run(&group);
	drop_stop();
	cleanup_forget(settings.cleanup);
	ipc_client_free(&settings.cleanup);
	ipc_channel_free(&server.channel);
	close(settings.maildrop);
	close(settings.corrupt);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(drops) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
