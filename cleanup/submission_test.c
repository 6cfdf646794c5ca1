/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup/submission.h"

static char directory[] = "/tmp/cleanup-test-XXXXXX";
static struct slice drop[] = { { "bcc", 3 } };
static char committed_id[MESSAGE_ID_SIZE];
static int committed_count;
static const char *role = "smtpd";

static void on_committed(const char *id)
{
	committed_count++;
	snprintf(committed_id, sizeof(committed_id), "%s", id);
}

static struct slice canonical(void *context, struct slice address, struct arena *arena)
{
	if (slice_find(address, '@') >= 0)
		return address;
	return slice_of(arena_printf(arena, "%.*s@example.com", SLICE_FMT(address)));
}

static struct submission_settings settings = {
	.headers = { .hostname = "h.example.com", .origin = "example.com", .mail_name = "Postrider", .undisclosed = "",
		     .drop = drop, .drop_count = 1 },
	.message_size_limit = 100000, .header_size_limit = 60000, .hopcount_limit = 50,
	.canonical = canonical, .committed = on_committed,
};

static int give_end(const char *service, double deadline, struct err *err)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	submission_peer(pair[1], role);
	return pair[0];
}

static size_t count_files(void)
{
	DIR *d = opendir(directory);
	struct dirent *e;
	size_t count = 0;

	while ((e = readdir(d)))
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

struct sample {
	const char *content;
	const char *recipients[4];
	const char *sender;
	uint64_t claim;              /* length to claim, 0: the true one */
	enum message_origin origin;
};

static bool submit(struct ipc_client *client, const struct sample *s, struct cleanup_refusal *no)
{
	struct message_recipient recipients[4] = { 0 };
	struct message_envelope e = { .origin = s->origin ? s->origin : ORIGIN_SMTP, .sender = slice_of(s->sender),
				      .arrival = loop_now(), .recipients = recipients };
	struct message_content content = { .length = strlen(s->content) };
	struct cleanup_session session;

	while (e.recipient_count < 4 && s->recipients[e.recipient_count]) {
		recipients[e.recipient_count].address = slice_of(s->recipients[e.recipient_count]);
		e.recipient_count++;
	}
	no->code = 0;
	if (!cleanup_open(&session, client, loop_now() + 5, no))
		return false;
	assert_int_equal(pwrite(session.fd, s->content, strlen(s->content), MESSAGE_CONTENT_OFFSET), strlen(s->content));
	if (s->claim)
		content.length = s->claim;
	return cleanup_commit(&session, &e, &content, loop_now() + 5, no);
}

static void accepted(struct ipc_client *client)
{
	struct sample good = { "Subject: x\r\nBcc: y\r\n\r\nbody\r\n", { "bob", "a@b", "BOB@example.com", "A@B" }, "root", 0, 0 };
	struct arena *arena = arena_create(0);
	struct message_layout layout;
	struct message_envelope e;
	struct slice header;
	struct cleanup_refusal no;
	struct err err;
	char path[128];

	assert_true(submit(client, &good, &no));
	assert_int_equal(committed_count, 1);
	snprintf(path, sizeof(path), "%s/%s", directory, message_id_name(committed_id));
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* cleanup has let go */
	assert_true(message_read_layout(fd, &layout, &err));
	assert_string_equal(layout.id, committed_id);
	assert_true(message_read_envelope(fd, &layout, arena, &e, &err));
	assert_int_equal(e.recipient_count, 2);
	assert_true(slice_eq(e.sender, SLICE("root@example.com")));
	assert_true(slice_eq(e.recipients[0].address, SLICE("bob@example.com")));
	assert_true(slice_eq(e.recipients[0].original, SLICE("bob")));
	assert_true(slice_eq(e.recipients[1].address, SLICE("a@b")));
	assert_int_equal(e.recipients[1].original.len, 0);
	assert_true(message_read_new_header(fd, &layout, arena, &header, &err));
	assert_true(slice_starts(header, SLICE("Received: from ")));
	assert_true(layout.replaces_header);
	assert_true(slice_ends_nocase(header, SLICE("Subject: x\r\n\r\n")));
	assert_int_equal(layout.content.header_length, strlen("Subject: x\r\nBcc: y\r\n\r\n"));
	close(fd);
	unlink(path);
	arena_free(&arena);
}

static void refused(struct ipc_client *client)
{
	struct sample loop = { NULL, { "a@b" }, "c@d", 0, 0 }, late = { "x\r\n", { "a@b" }, "c@d", 0, 0 };
	struct sample none = { "x\r\n", { NULL }, "c@d", 0, 0 }, forged = { "x\r\n", { "a@b\r\nX" }, "c@d", 0, 0 };
	struct sample liar = { "x\r\n", { "a@b" }, "c@d", 500, 0 }, big = { "x\r\n", { "a@b" }, "c@d", 100001, 0 };
	struct sample origin = { "x\r\n", { "a@b" }, "c@d", 0, ORIGIN_LOCAL };
	struct cleanup_refusal no;
	char received[50 * 16] = "";

	for (int i = 0; i < 49; i++)
		memcpy(received + strlen(received), "Received: x\r\n", 14);
	loop.content = received;
	assert_false(submit(client, &loop, &no));
	assert_int_equal(no.code, 554);
	assert_string_equal(no.dsn, "5.4.0");
	assert_string_equal(no.text, "Error: too many hops");
	loop.content = received + 13;
	assert_true(submit(client, &loop, &no));
	assert_false(submit(client, &none, &no));
	assert_int_equal(no.code, 554);
	assert_false(submit(client, &forged, &no));
	assert_int_equal(no.code, 501);
	assert_false(submit(client, &liar, &no));
	assert_int_equal(no.code, 451);
	assert_false(submit(client, &big, &no));
	assert_int_equal(no.code, 552);
	/* A peer that claims an origin that its role has not: cut off. */
	assert_false(submit(client, &origin, &no));
	assert_int_equal(no.code, 451);
	assert_true(submit(client, &late, &no));
	settings.queue_minfree = UINT64_MAX;
	task_sleep(1.1);
	assert_false(submit(client, &late, &no));
	assert_int_equal(no.code, 452);
	assert_string_equal(no.text, "Insufficient system storage");
	settings.queue_minfree = 0;
	assert_true(submit(client, &late, &no));
}

/* More sessions than there are spares, and many syncs side by side. */
static void one_of_many(void *arg)
{
	struct sample good = { "Subject: x\r\n\r\n", { "a@b" }, "c@d", 0, 0 };
	struct cleanup_refusal no;

	for (int i = 0; i < 10; i++)
		assert_true(submit(arg, &good, &no));
}

static void conversation(void *arg)
{
	struct ipc_client *client = arg;
	struct task_group many = { 0 };
	struct cleanup_session session;
	struct cleanup_refusal no;

	accepted(client);
	refused(client);
	committed_count = 0;
	for (int i = 0; i < 100; i++)
		assert_non_null(task_spawn(&many, one_of_many, client));
	while (many.count > 0)
		task_sleep(0.01);
	assert_int_equal(committed_count, 1000);
	/* What is handed out dies with its peer. */
	assert_true(cleanup_open(&session, client, loop_now() + 5, &no));
	assert_true(submission_open_files() > 0);
	close(session.fd);
	submission_stop();
	assert_int_equal(submission_open_files(), 0);
	session.fd = -1;
	cleanup_abort(&session);
	task_sleep(0.05);
	/* One that may not submit. */
	role = "stranger";
	assert_false(cleanup_open(&session, client, loop_now() + 5, &no));
	assert_int_equal(no.code, 451);
	assert_int_equal(submission_peers(), 0);
}

static void submissions(void **state)
{
	struct ipc_client *client = ipc_client_create("cleanup", &cleanup_protocol, give_end);
	struct task_group group = { 0 };

	assert_non_null(mkdtemp(directory));
	settings.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	submission_start(&settings);
	spares_start(settings.directory, submission_spares_changed);
	task_spawn(&group, conversation, client);
	task_group_run(&group);
	submission_stop();
	spares_stop();
	cleanup_forget(client);
	ipc_client_free(&client);
	/* The committed ones are there: 3 of refused(), 1000 of the crowd; no spare is left. */
	assert_int_equal(count_files(), 1003);
	close(settings.directory);
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(submissions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
