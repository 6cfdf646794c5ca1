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

static struct submission_settings settings = {
	.headers = { .hostname = "h.example.com", .origin = "example.com", .mail_name = "Postrider", .undisclosed = "",
		     .drop = drop, .drop_count = 1, .address_limit = 100 },
	.message_size_limit = 100000, .header_size_limit = 60000, .hopcount_limit = 50,
	.recipients = { .always_bcc = "", .keep_original = true }, .committed = on_committed,
};

/* A rewriter of its own configuration, with tables in the file itself. */
static struct config *config, *broken_config;
static struct rewriter *broken;

static void open_rewriters(void)
{
	static const struct config_override fails = { "virtual_alias_maps", "fail:x" };
	static const char text[] =
		"myhostname = h.example.com\nmyorigin = example.com\nmydestination =\ninet_interfaces = loopback-only\n"
		"mynetworks = 127.0.0.0/8\nlocal_recipient_maps =\nalias_maps =\n"
		"canonical_maps = inline:{ old@example.com=new@example.com }\n"
		"virtual_alias_maps = inline:{ {list@example.com = a@b, c@d, bob}, broken@example.com=broken2@example.com,"
		" broken2@example.com=broken@example.com }\n"
		"sender_bcc_maps = inline:{ watched@example.com=watcher@example.com }\n";
	struct err err;
	char dir[] = "/tmp/cleanup-conf-XXXXXX", path[64];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	config = config_load(dir, NULL, 0, &err);
	if (!config)
		fail_msg("%s", err.text);
	broken_config = config_load(dir, &fails, 1, &err);
	assert_non_null(broken_config);
	unlink(path);
	rmdir(dir);
	settings.recipients.rewriter = rewriter_create(config, &err);
	broken = rewriter_create(broken_config, &err);
	assert_non_null(broken);
	if (!settings.recipients.rewriter)
		fail_msg("%s", err.text);
}


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
	const struct message_envelope *wishes; /* what restrictions have decided */
};

static bool submit(struct ipc_client *client, const struct sample *s, struct cleanup_refusal *no)
{
	struct message_recipient recipients[4] = { 0 };
	struct message_envelope e = { .origin = s->origin ? s->origin : ORIGIN_SMTP, .sender = slice_of(s->sender),
				      .arrival = loop_now(), .recipients = recipients };
	struct message_content content = { .length = strlen(s->content) };
	struct cleanup_session session;

	if (s->wishes) {
		e.hold = s->wishes->hold;
		e.discard = s->wishes->discard;
		e.redirect = s->wishes->redirect;
		e.prepend = s->wishes->prepend;
		e.filter = s->wishes->filter;
		e.no_address_mappings = s->wishes->no_address_mappings;
		e.rewrite_header = s->wishes->rewrite_header;
	}
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
	struct sample good = { "Subject: x\r\nBcc: y\r\n\r\nbody\r\n", { "bob", "a@b", "BOB@example.com", "A@B" }, "root", 0, 0, NULL };
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
	/* Each pair of what was asked for and what it became: X-Original-To tells them apart. */
	assert_int_equal(e.recipient_count, 3);
	assert_true(slice_eq(e.recipients[2].address, SLICE("BOB@example.com")));
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

/* Reads what was committed last, and removes it. */
static void take_last(struct arena *arena, struct message_layout *layout, struct message_envelope *e,
		      struct slice *header)
{
	struct err err;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, message_id_name(committed_id));
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_true(message_read_layout(fd, layout, &err));
	assert_true(message_read_envelope(fd, layout, arena, e, &err));
	assert_true(message_read_new_header(fd, layout, arena, header, &err));
	close(fd);
	unlink(path);
}

static const char *recipients_text(const struct message_envelope *e, struct arena *arena)
{
	const char *text = "";

	for (size_t i = 0; i < e->recipient_count; i++)
		text = arena_printf(arena, "%s%.*s<%.*s%s\n", text, SLICE_FMT(e->recipients[i].address),
				    SLICE_FMT(e->recipients[i].original),
				    e->recipients[i].notify == NOTIFY_NEVER ? " never" : "");
	return text;
}

static void rewritten(struct ipc_client *client)
{
	struct sample list = { "To: old@example.com\r\n\r\n", { "list@example.com", "c@d" }, "watched", 0, 0, NULL };
	struct sample loop = { "x\r\n", { "broken@example.com" }, "c@d", 0, 0, NULL };
	struct message_envelope as_is = { .no_address_mappings = true }, local = { .rewrite_header = true };
	struct arena *arena = arena_create(0);
	struct message_layout layout;
	struct message_envelope e;
	struct cleanup_refusal no;
	struct slice header;

	assert_true(submit(client, &list, &no));
	take_last(arena, &layout, &e, &header);
	assert_string_equal(recipients_text(&e, arena), "a@b<list@example.com\nc@d<list@example.com\n"
			    "bob@example.com<list@example.com\nc@d<\nwatcher@example.com< never\n");
	assert_false(layout.replaces_header);
	list.wishes = &as_is;
	assert_true(submit(client, &list, &no));
	take_last(arena, &layout, &e, &header);
	assert_string_equal(recipients_text(&e, arena), "list@example.com<\nc@d<\n");
	list.wishes = &local;
	assert_true(submit(client, &list, &no));
	take_last(arena, &layout, &e, &header);
	assert_true(slice_ends_nocase(header, SLICE("\r\nTo: new@example.com\r\n\r\n")));
	/* An alias without end, and a table that does not answer: not accepted, and not for good. */
	assert_false(submit(client, &loop, &no));
	assert_int_equal(no.code, 451);
	assert_string_equal(no.dsn, "4.6.0");
	struct rewriter *good = settings.recipients.rewriter;

	settings.recipients.rewriter = broken;
	assert_false(submit(client, &list, &no));
	settings.recipients.rewriter = good;
	assert_int_equal(no.code, 451);
	assert_string_equal(no.text, "Temporary lookup failure");
	arena_free(&arena);
}

static void decided(struct ipc_client *client)
{
	struct message_envelope hold = { .hold = true, .filter = SLICE("scan:[127.0.0.1]:10025"),
					 .prepend = SLICE("X-One: 1\r\nX-Two: 2\r\n\tmore\r\n\r\nX-Not: 3\r\n") };
	struct message_envelope redirect = { .redirect = SLICE("judge@example.com") }, discard = { .discard = true };
	struct sample s = { "Subject: x\r\n\r\n", { "list@example.com" }, "watched@example.com", 0, 0, &hold };
	struct arena *arena = arena_create(0);
	int before = committed_count;
	struct message_layout layout;
	struct message_envelope e;
	struct cleanup_refusal no;
	struct slice header;

	s.recipients[0] = "c@d";
	assert_true(submit(client, &s, &no));
	take_last(arena, &layout, &e, &header);
	assert_int_equal(layout.state, MESSAGE_HOLD);
	assert_true(slice_eq(e.filter, SLICE("scan:[127.0.0.1]:10025")));
	assert_true(slice_starts(header, SLICE("X-One: 1\r\nX-Two: 2\r\n\tmore\r\nReceived: ")));
	s.wishes = &redirect;
	assert_true(submit(client, &s, &no));
	take_last(arena, &layout, &e, &header);
	assert_int_equal(layout.state, MESSAGE_COMMITTED);
	assert_string_equal(recipients_text(&e, arena), "judge@example.com< never\n");
	assert_int_equal(committed_count, before + 2);
	s.wishes = &discard;
	assert_true(submit(client, &s, &no));
	assert_int_equal(committed_count, before + 2);
	arena_free(&arena);
}

static void refused(struct ipc_client *client)
{
	struct sample loop = { NULL, { "a@b" }, "c@d", 0, 0, NULL }, late = { "x\r\n", { "a@b" }, "c@d", 0, 0, NULL };
	struct sample none = { "x\r\n", { NULL }, "c@d", 0, 0, NULL }, forged = { "x\r\n", { "a@b\r\nX" }, "c@d", 0, 0, NULL };
	struct sample liar = { "x\r\n", { "a@b" }, "c@d", 500, 0, NULL }, big = { "x\r\n", { "a@b" }, "c@d", 100001, 0, NULL };
	struct sample origin = { "x\r\n", { "a@b" }, "c@d", 0, ORIGIN_LOCAL, NULL };
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
	struct sample good = { "Subject: x\r\n\r\n", { "a@b" }, "c@d", 0, 0, NULL };
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
	rewritten(client);
	decided(client);
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
	open_rewriters();
	settings.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	submission_start(&settings);
	spares_start(settings.directory, submission_spares_changed);
	task_spawn(&group, conversation, client);
	task_group_run(&group);
	submission_stop();
	spares_stop();
	cleanup_forget(client);
	ipc_client_free(&client);
	rewriter_free(&settings.recipients.rewriter);
	rewriter_free(&broken);
	config_free(&config);
	config_free(&broken_config);
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
