/* SPDX-License-Identifier: ISC */
/* Whole deliveries against a scripted server on the loopback interface. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "delivery/smtp/deliver.h"

#define STEPS 24

/* What the server reads and says, in turn: "<" expects these bytes, ">" sends them. */
struct script {
	const char *steps[STEPS];
};

struct server {
	int fd;
	unsigned port;
	const struct script *scripts;   /* one a connection */
	size_t count, served;
	struct task_group group;
	bool wrong;
};

struct talk {
	struct server *server;
	const struct script *script;
	int fd;
};

static bool expect(struct stream *s, const char *want, bool *wrong)
{
	size_t len = strlen(want);

	while (len > 0) {
		struct slice got;

		if (stream_peek(s, &got) != STREAM_OK) {
			print_message("expected \"%s\", lost the connection\n", want);
			return false;
		}
		size_t n = got.len < len ? got.len : len;

		if (memcmp(got.ptr, want, n) != 0) {
			print_message("expected \"%s\", got \"%.*s\"\n", want, SLICE_FMT(got));
			*wrong = true;
			return false;
		}
		stream_consume(s, n);
		want += n;
		len -= n;
	}
	return true;
}

static void talk(void *arg)
{
	struct talk *t = arg;
	struct stream *s = stream_of_fd(t->fd);
	bool ok = true;

	stream_set_timeout(s, 10);
	for (size_t i = 0; ok && i < STEPS && t->script->steps[i]; i++) {
		const char *step = t->script->steps[i];

		if (step[0] == '>')
			ok = stream_write(s, slice_of(step + 1)) == STREAM_OK && stream_flush(s) == STREAM_OK;
		else if (step[0] == '<')
			ok = expect(s, step + 1, &t->server->wrong);
		else if (step[0] == '~')
			task_sleep(atof(step + 1));
	}
	if (!ok)
		t->server->wrong = true;
	stream_free(&s);
	free(t);
}

static void serve(void *arg)
{
	struct server *v = arg;

	while (v->served < v->count) {
		if (task_wait_fd(v->fd, TASK_READ, loop_now() + 20) != TASK_READY)
			return;
		struct talk *t = calloc(1, sizeof(*t));

		*t = (struct talk){ v, &v->scripts[v->served++], accept(v->fd, NULL, NULL) };
		task_spawn(&v->group, talk, t);
	}
}

static void server_start(struct server *v, const struct script *scripts, size_t count)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	*v = (struct server){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .scripts = scripts, .count = count };
	assert_int_equal(bind(v->fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(v->fd, 10), 0);
	assert_int_equal(getsockname(v->fd, (struct sockaddr *)&in, &len), 0);
	v->port = ntohs(in.sin_port);
	if (count > 0)
		task_spawn(&v->group, serve, v);
}

/* --- a delivery --- */

struct fixture {
	struct smtp_settings settings;
	struct smtp_cache *cache;
	struct arena *arena;
	struct delivery_job job;
	struct message_recipient recipients[3];
	uint32_t index[3];
	struct smtp_delivery d;
	struct smtp_outcome outcome;
	size_t decided;
	char nexthop[64];
	char seen[3][600];     /* "sent 2.0.0 text" a recipient */
};

static void on_decided(struct smtp_delivery *d, size_t index)
{
	static const char *const name[] = { "", "sent", "deferred", "bounced" };
	struct fixture *f = d->context;
	const struct smtp_recipient *r = &d->recipient[index];

	f->decided++;
	snprintf(f->seen[index], sizeof(f->seen[index]), "%s %s %.*s", name[r->outcome], r->failure.dsn,
		 SLICE_FMT(r->failure.text));
}

static void deliver(void *arg)
{
	struct fixture *f = arg;

	f->outcome = smtp_deliver(&f->d, f->cache, NULL);
}

static void fixture_make(struct fixture *f, const char *content, size_t recipients)
{
	static const char *const addresses[] = { "a@x", "b@x", "c@x" };
	struct message_content c = { .length = strlen(content), .longest_line = 100 };
	struct message_layout l = { .state = MESSAGE_COMMITTED, .content = c };
	struct err err = { 0 };

	*f = (struct fixture){ 0 };
	f->settings = (struct smtp_settings){
		.helo_name = "me", .myhostname = "me", .tcp_port = 25, .fallback_relay = "", .host_lookup = "dns",
		.ipv4 = true, .ipv6 = true, .connect_timeout = 5, .helo_timeout = 5, .mail_timeout = 5,
		.rcpt_timeout = 5, .data_init_timeout = 5, .data_xfer_timeout = 5, .data_done_timeout = 5,
		.rset_timeout = 5, .cache_time = 2, .reuse_time = 300, .line_limit = 998, .address_limit = 5,
		.session_limit = 2, .skip_5xx_greeting = true, .slots = 1,
	};
	f->cache = smtp_cache_create(&f->settings);
	f->arena = arena_create(0);
	f->job.fd = memfd_create("message", 0);
	f->job.queue_id = SLICE("Q");
	f->job.envelope.sender = SLICE("s@x");
	f->job.envelope.recipients = f->recipients;
	f->job.envelope.recipient_count = recipients;
	for (size_t i = 0; i < recipients; i++) {
		f->recipients[i] = (struct message_recipient){ .address = slice_of(addresses[i]),
							       .status = RECIPIENT_PENDING };
		f->index[i] = (uint32_t)i;
	}
	f->job.index = f->index;
	l.content.leading_dots = content[0] == '.' || strstr(content, "\n.");
	l.content.header_length = l.content.length;
	assert_int_equal(pwrite(f->job.fd, content, strlen(content), MESSAGE_CONTENT_OFFSET), strlen(content));
	assert_true(message_write(f->job.fd, &f->job.envelope, &l, SLICE("H: 1\r\n"), &err));
	f->job.layout = l;
	f->d = (struct smtp_delivery){ .job = &f->job, .settings = &f->settings, .arena = f->arena,
				       .on_decided = on_decided, .context = f };
}

static void fixture_free(struct fixture *f)
{
	smtp_cache_free(&f->cache);
	arena_free(&f->arena);
	close(f->job.fd);
}

static void fixture_run(struct fixture *f, struct server *v)
{
	struct task_group group = { 0 };

	snprintf(f->nexthop, sizeof(f->nexthop), "[127.0.0.1]:%u", v->port);
	f->job.nexthop = slice_of(f->nexthop);
	task_spawn(&group, deliver, f);
	task_group_run(&group);
	assert_int_equal(f->decided, f->job.envelope.recipient_count);
}

static void server_stop(struct server *v)
{
	task_group_cancel(&v->group);
	task_group_run(&v->group);
	close(v->fd);
}

/* --- one connection, one message: what is said and what comes of it --- */

#define GREET  ">220 hi\r\n", "<EHLO me\r\n"
#define PIPE   GREET, ">250-x\r\n250 PIPELINING\r\n"
#define BODY   "<H: 1\r\nT: x\r\n\r\nhello\r\n.\r\n"
#define FROM   "MAIL FROM:<s@x>\r\n"
#define RCPTA  "RCPT TO:<a@x>\r\n"
#define RCPTB  "RCPT TO:<b@x>\r\n"
#define SAID   "host 127.0.0.1[127.0.0.1] said: "
#define TWICE  "sending end of data -- message may be sent more than once"

static const struct {
	const char *name;
	struct script script;
	const char *want[2];  /* a recipient each */
	bool lmtp;
	bool dead;
} cases[] = {
	{ "plain", { { GREET, ">250 x\r\n", "<" FROM, ">250 ok\r\n", "<" RCPTA, ">250 ok\r\n", "<DATA\r\n",
		       ">354 go\r\n", BODY, ">250 2.6.0 queued\r\n", "<QUIT\r\n" } },
	  { "sent 2.6.0 250 2.6.0 queued" }, false, false },
	{ "HELO", { { GREET, ">502 what\r\n", "<HELO me\r\n", ">250 x\r\n", "<" FROM, ">250 ok\r\n", "<" RCPTA,
		      ">250 ok\r\n", "<DATA\r\n", ">354 go\r\n", BODY, ">250 queued\r\n" } },
	  { "sent 2.0.0 250 queued" }, false, false },
	{ "pipelined, one refused", { { PIPE, "<" FROM RCPTA RCPTB "DATA\r\n",
		      ">250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n", BODY, ">250 queued\r\n" } },
	  { "bounced 5.1.1 " SAID "550 5.1.1 no (in reply to RCPT TO command)", "sent 2.0.0 250 queued" }, false, false },
	{ "pipelined, all refused, 354", { { PIPE, "<" FROM RCPTA RCPTB "DATA\r\n",
		      ">250 ok\r\n550 5.1.1 no\r\n450 later\r\n354 go\r\n", "<.\r\n", ">554 none\r\n", "<QUIT\r\n" } },
	  { "bounced 5.1.1 " SAID "550 5.1.1 no (in reply to RCPT TO command)",
	    "deferred 4.0.0 " SAID "450 later (in reply to RCPT TO command)" }, false, false },
	{ "pipelined, MAIL refused for now", { { PIPE, "<" FROM RCPTA "DATA\r\n",
		      ">451 later\r\n503 MAIL first\r\n503 MAIL first\r\n", "<QUIT\r\n" } },
	  { "deferred 4.0.0 " SAID "451 later (in reply to MAIL FROM command)" }, false, false },
	{ "MAIL refused", { { GREET, ">250 x\r\n", "<" FROM, ">550 5.7.1 you\r\n", "<QUIT\r\n" } },
	  { "bounced 5.7.1 " SAID "550 5.7.1 you (in reply to MAIL FROM command)" }, false, false },
	{ "DATA refused", { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n452 4.3.1 full\r\n" } },
	  { "deferred 4.3.1 " SAID "452 4.3.1 full (in reply to DATA command)" }, false, false },
	{ "end of data refused", { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY,
		      ">554 5.6.0 spam\r\n" } },
	  { "bounced 5.6.0 " SAID "554 5.6.0 spam (in reply to end of DATA command)" }, false, false },
	{ "lost at MAIL", { { PIPE, "<" FROM } },
	  { "deferred 4.4.2 lost connection with 127.0.0.1[127.0.0.1] while sending MAIL FROM" }, false, false },
	{ "lost at RCPT", { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n" } },
	  { "deferred 4.4.2 lost connection with 127.0.0.1[127.0.0.1] while sending RCPT TO" }, false, false },
	{ "lost at the end", { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY } },
	  { "deferred 4.4.2 lost connection with 127.0.0.1[127.0.0.1] while " TWICE }, false, false },
	{ "421 at RCPT", { { PIPE, "<" FROM RCPTA RCPTB "DATA\r\n", ">250 ok\r\n250 ok\r\n421 4.7.0 bye\r\n" } },
	  { "deferred 4.7.0 " SAID "421 4.7.0 bye (in reply to RCPT TO command)",
	    "deferred 4.7.0 " SAID "421 4.7.0 bye (in reply to RCPT TO command)" }, false, false },
	{ "5xx greeting", { { ">554 5.7.1 go away\r\n" } },
	  { "deferred 4.7.1 host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 go away" }, false, true },
	{ "no greeting", { { "~0" } },
	  { "deferred 4.4.2 lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server greeting" },
	  false, true },
	{ "rubbish", { { ">SSH-2.0-x\r\n" } },
	  { "deferred 4.5.0 host 127.0.0.1[127.0.0.1] sent a malformed reply while receiving the initial server "
	    "greeting: SSH-2.0-x" }, false, true },
	{ "DATA answered 250", { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n250 ok\r\n" } },
	  { "deferred 4.5.0 " SAID "250 ok (in reply to DATA command)" }, false, false },
	{ "early replies", { { ">220 hi\r\n250-x\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n",
		      "<EHLO me\r\n" FROM RCPTA "DATA\r\n", BODY } },
	  { "sent 2.0.0 250 done" }, false, false },
	{ "SIZE too small", { { GREET, ">250-x\r\n250 SIZE 5\r\n", "<QUIT\r\n" } },
	  { "bounced 5.3.4 message size 21 exceeds size limit 5 of server 127.0.0.1[127.0.0.1]" }, false, false },
	{ "SIZE told", { { GREET, ">250-x\r\n250 SIZE 500\r\n", "<MAIL FROM:<s@x> SIZE=21\r\n", ">250 ok\r\n",
		      "<" RCPTA, ">550 no\r\n" } },
	  { "bounced 5.0.0 " SAID "550 no (in reply to RCPT TO command)" }, false, false },
	{ "BDAT along", { { GREET, ">250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
		      "<" FROM RCPTA RCPTB "BDAT 21 LAST\r\nH: 1\r\nT: x\r\n\r\nhello\r\n",
		      ">250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 2.0.0 chunk\r\n" } },
	  { "bounced 5.1.1 " SAID "550 5.1.1 no (in reply to RCPT TO command)", "sent 2.0.0 250 2.0.0 chunk" },
	  false, false },
	{ "BDAT along, all refused", { { GREET, ">250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
		      "<" FROM RCPTA "BDAT 21 LAST\r\nH: 1\r\nT: x\r\n\r\nhello\r\n",
		      ">250 ok\r\n550 5.1.1 no\r\n503 none\r\n", "<QUIT\r\n" } },
	  { "bounced 5.1.1 " SAID "550 5.1.1 no (in reply to RCPT TO command)" }, false, false },
	{ "BDAT in turn", { { GREET, ">250-x\r\n250 CHUNKING\r\n", "<" FROM, ">250 ok\r\n", "<" RCPTA, ">250 ok\r\n",
		      "<BDAT 21 LAST\r\nH: 1\r\nT: x\r\n\r\nhello\r\n", ">552 5.2.2 full\r\n" } },
	  { "bounced 5.2.2 " SAID "552 5.2.2 full (in reply to BDAT command)" }, false, false },
	{ "LMTP", { { ">220 hi\r\n", "<LHLO me\r\n", ">250-x\r\n250 PIPELINING\r\n", "<" FROM RCPTA RCPTB "DATA\r\n",
		      ">250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", BODY, ">250 2.0.0 a\r\n452 4.2.2 b\r\n" } },
	  { "sent 2.0.0 250 2.0.0 a", "deferred 4.2.2 " SAID "452 4.2.2 b (in reply to end of DATA command)" },
	  true, false },
	{ "LMTP, BDAT", { { ">220 hi\r\n", "<LHLO me\r\n", ">250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
		      "<" FROM RCPTA RCPTB, ">250 ok\r\n550 5.1.1 no\r\n250 ok\r\n",
		      "<BDAT 21 LAST\r\nH: 1\r\nT: x\r\n\r\nhello\r\n", ">250 2.0.0 b\r\n" } },
	  { "bounced 5.1.1 " SAID "550 5.1.1 no (in reply to RCPT TO command)", "sent 2.0.0 250 2.0.0 b" }, true, false },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server v;
		struct fixture f;
		size_t count = cases[i].want[1] ? 2 : 1;

		print_message("  %s\n", cases[i].name);
		server_start(&v, &cases[i].script, 1);
		fixture_make(&f, "T: x\r\n\r\nhello\r\n", count);
		f.settings.lmtp = cases[i].lmtp;
		fixture_run(&f, &v);
		for (size_t k = 0; k < count; k++)
			assert_string_equal(f.seen[k], cases[i].want[k]);
		assert_int_equal(f.outcome.dead, cases[i].dead);
		fixture_free(&f);
		task_group_run(&v.group);
		assert_false(v.wrong);
		server_stop(&v);
	}
}

static void test_dots_and_parameters(void **state)
{
	static const struct script script = { { GREET, ">250-x\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n",
		"<MAIL FROM:<> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n"
		"RCPT TO:<\"a b\"@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;q+3Dr@x\r\nDATA\r\n",
		">250 ok\r\n250 ok\r\n354 go\r\n", "<H: 1\r\n..\r\n..a\r\n.\r\n", ">250 ok\r\n" } };
	struct server v;
	struct fixture f;

	server_start(&v, &script, 1);
	fixture_make(&f, ".\r\n.a\r\n", 1);
	f.job.envelope.sender = SLICE_NONE;
	f.job.envelope.body_8bitmime = f.job.envelope.smtputf8 = true;
	f.job.envelope.ret = RET_HDRS;
	f.job.envelope.envid = SLICE("a+b");
	f.recipients[0].address = SLICE("a b@x");
	f.recipients[0].orcpt = SLICE("rfc822;q=r@x");
	f.recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	fixture_run(&f, &v);
	assert_string_equal(f.seen[0], "sent 2.0.0 250 ok");
	fixture_free(&f);
	server_stop(&v);
	assert_false(v.wrong);
}

static void test_smtputf8_needed(void **state)
{
	static const struct script script = { { GREET, ">250 x\r\n", "<QUIT\r\n" } };
	struct server v;
	struct fixture f;

	server_start(&v, &script, 1);
	fixture_make(&f, "T: x\r\n\r\nhello\r\n", 1);
	f.job.envelope.smtputf8 = true;
	f.recipients[0].address = SLICE("\xc3\xa9@x");
	fixture_run(&f, &v);
	assert_string_equal(f.seen[0],
			    "bounced 5.6.7 SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]");
	fixture_free(&f);
	task_group_run(&v.group);
	assert_false(v.wrong);
	server_stop(&v);
}

static void test_refused_and_fallback(void **state)
{
	static const struct script script = { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY,
						">250 ok\r\n" } };
	struct server v, none;
	struct fixture f;
	char fallback[128];

	server_start(&none, NULL, 0);
	close(none.fd);
	server_start(&v, &script, 1);
	fixture_make(&f, "T: x\r\n\r\nhello\r\n", 1);
	fixture_run(&f, &none);
	snprintf(fallback, sizeof(fallback),
		 "deferred 4.4.1 connect to 127.0.0.1[127.0.0.1]:%u: Connection refused", none.port);
	assert_string_equal(f.seen[0], fallback);
	assert_true(f.outcome.dead);
	snprintf(fallback, sizeof(fallback), "[127.0.0.1]:%u", v.port);
	f.settings.fallback_relay = fallback;
	f.decided = 0;
	fixture_run(&f, &none);
	assert_string_equal(f.seen[0], "sent 2.0.0 250 ok");
	assert_false(f.outcome.dead);
	fixture_free(&f);
	server_stop(&v);
	assert_false(v.wrong);
}

static void test_timeout(void **state)
{
	static const struct script script = { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 o", "~1", ">k" } };
	struct server v;
	struct fixture f;
	double before = loop_now();

	server_start(&v, &script, 1);
	fixture_make(&f, "T: x\r\n\r\nhello\r\n", 1);
	f.settings.mail_timeout = 0.2;
	fixture_run(&f, &v);
	assert_string_equal(f.seen[0],
			    "deferred 4.4.2 conversation with 127.0.0.1[127.0.0.1] timed out while sending MAIL FROM");
	assert_true(loop_now() - before < 0.9);
	fixture_free(&f);
	server_stop(&v);
}

/* Reuse, RSET after a refused recipient, and a server that hung up meanwhile. */
static void test_reuse(void **state)
{
	static const struct script scripts[] = {
		{ { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY, ">250 one\r\n",
		    "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY, ">250 two\r\n",
		    "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n550 no\r\n554 none\r\n",
		    "<RSET\r\n" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", BODY,
		    ">250 four\r\n", "<" FROM RCPTA "DATA\r\n" } },
		{ { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY, ">250 five\r\n421 bye\r\n" } },
		{ { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY, ">250 six\r\n", "<QUIT\r\n" } },
	};
	static const char *const want[] = { "sent 2.0.0 250 one", "sent 2.0.0 250 two",
		"bounced 5.0.0 " SAID "550 no (in reply to RCPT TO command)", "sent 2.0.0 250 four",
		"sent 2.0.0 250 five", "sent 2.0.0 250 six" };
	struct server v;
	struct fixture f;

	server_start(&v, scripts, 3);
	fixture_make(&f, "T: x\r\n\r\nhello\r\n", 1);
	snprintf(f.nexthop, sizeof(f.nexthop), "[127.0.0.1]:%u", v.port);
	smtp_cache_note(f.cache, slice_of(f.nexthop));
	for (size_t i = 0; i < 6; i++) {
		f.decided = 0;
		fixture_run(&f, &v);
		assert_string_equal(f.seen[0], want[i]);
		assert_true(f.outcome.kept);
		assert_int_equal(smtp_cache_count(f.cache), 1);
		f.d.session = NULL;
	}
	assert_int_equal(v.served, 3);
	fixture_free(&f);
	task_group_run(&v.group);
	assert_false(v.wrong);
	server_stop(&v);
}

static void test_idle_connection_expires(void **state)
{
	static const struct script script = { { PIPE, "<" FROM RCPTA "DATA\r\n", ">250 ok\r\n250 ok\r\n354 go\r\n", BODY,
						">250 ok\r\n", "<QUIT\r\n" } };
	struct server v;
	struct fixture f;

	server_start(&v, &script, 1);
	fixture_make(&f, "T: x\r\n\r\nhello\r\n", 1);
	f.settings.cache_time = 0.1;
	snprintf(f.nexthop, sizeof(f.nexthop), "[127.0.0.1]:%u", v.port);
	smtp_cache_note(f.cache, slice_of(f.nexthop));
	fixture_run(&f, &v);
	assert_int_equal(smtp_cache_count(f.cache), 1);
	task_group_run(&v.group);   /* the server has seen QUIT */
	assert_false(v.wrong);
	assert_int_equal(smtp_cache_count(f.cache), 0);
	fixture_free(&f);
	server_stop(&v);
}

static void test_nexthops(void **state)
{
	static const struct {
		const char *text, *name;
		bool lmtp, ok;
		enum smtp_nexthop_kind kind;
		unsigned port;
	} table[] = {
		{ "example.com", "example.com", false, true, SMTP_NEXTHOP_DOMAIN, 25 },
		{ "example.com:2525", "example.com", false, true, SMTP_NEXTHOP_DOMAIN, 2525 },
		{ "example.com", "example.com", true, true, SMTP_NEXTHOP_HOST, 25 },
		{ "[mx.example.com]", "mx.example.com", false, true, SMTP_NEXTHOP_HOST, 25 },
		{ "[::1]:26", "::1", false, true, SMTP_NEXTHOP_HOST, 26 },
		{ "[x]:submission", "x", false, true, SMTP_NEXTHOP_HOST, 587 },
		{ "inet:h:24", "h", true, true, SMTP_NEXTHOP_HOST, 24 },
		{ "inet:[::1]:24", "::1", true, true, SMTP_NEXTHOP_HOST, 24 },
		{ "unix:private/lmtp", "private/lmtp", true, true, SMTP_NEXTHOP_UNIX, 25 },
		{ "unix:", "", true, false, SMTP_NEXTHOP_UNIX, 0 },
		{ "", "", false, false, SMTP_NEXTHOP_DOMAIN, 0 },
		{ "[]", "", false, false, SMTP_NEXTHOP_HOST, 0 },
		{ "[x", "", false, false, SMTP_NEXTHOP_HOST, 0 },
		{ "[x]25", "", false, false, SMTP_NEXTHOP_HOST, 0 },
		{ "x:0", "", false, false, SMTP_NEXTHOP_HOST, 0 },
		{ "x:65536", "", false, false, SMTP_NEXTHOP_HOST, 0 },
		{ "x:", "", false, false, SMTP_NEXTHOP_HOST, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct smtp_settings set = { .tcp_port = 25, .lmtp = table[i].lmtp };
		struct smtp_nexthop n;

		assert_int_equal(smtp_nexthop_parse(slice_of(table[i].text), &set, &n), table[i].ok);
		if (!table[i].ok)
			continue;
		assert_int_equal(n.kind, table[i].kind);
		assert_true(slice_eq(n.name, slice_of(table[i].name)));
		assert_int_equal(n.port, table[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nexthops),
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_dots_and_parameters),
		cmocka_unit_test(test_smtputf8_needed),
		cmocka_unit_test(test_refused_and_fallback),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_idle_connection_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
