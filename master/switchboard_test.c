/* SPDX-License-Identifier: ISC */
/* Who gets a connection to whom, and what a process that asks too much gets.  No program is started. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/task.h"
#include "common/process/control.h"
#include "master/service.h"
#include "master/switchboard.h"

enum { SMTPD, CLEANUP, QMGR, SMTP, RESOLVER, CHILDREN };

static const char *const commands[CHILDREN] = { "smtpd", "cleanup", "qmgr", "smtp", "resolver" };
static struct child children[CHILDREN];
static int ends[CHILDREN];

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
}

static void on_close(struct ipc_channel *ch, void *context)
{
}

/* All but the resolver have a process. */
static int setup(void **state)
{
	static const struct ipc_protocol protocol = CONTROL_PROTOCOL;
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	static struct service_spec specs[CHILDREN];
	static struct plan plan = { .main_cf = -1 };

	log_open("test", -1, false);
	for (int i = 0; i < CHILDREN; i++) {
		specs[i] = (struct service_spec){ .next = plan.specs, .name = commands[i],
						  .row = service_row_find(commands[i]), .path = "/nonexistent" };
		plan.specs = &specs[i];
	}
	service_apply(&plan);
	for (int i = 0; i < RESOLVER; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		children[i] = (struct child){ .service = service_find(commands[i], false), .serial = (uint64_t)i + 1,
					      .pid = 1000000 + i };
		children[i].service->children = &children[i];
		children[i].control = ipc_channel_create(pair[0], &protocol, &handler, &children[i]);
		ends[i] = pair[1];
	}
	return 0;
}

static void drain(int who, struct ipc_in *last, size_t *count);

static void forget_all(void)
{
	for (int i = 0; i < RESOLVER; i++)
		switchboard_forget(&children[i]);
	for (int i = 0; i < RESOLVER; i++) {
		drain(i, NULL, NULL);
		assert_null(children[i].given);
	}
}

/* A message as if `who` had sent it. */
static void hear(int who, const struct ipc_out *m, uint32_t request)
{
	struct ipc_in in = { .data = m->data, .len = m->len, .request = request };
	struct cursor c = cursor_make(m->data, m->len);

	in.type = cursor_u16(&c);
	service_hear(&children[who], &in);
}

static void ask(int who, const char *service, uint32_t request)
{
	struct ipc_out m;

	ipc_out_start(&m, CONTROL_CONNECT, request);
	ipc_put_text(&m, CONTROL_SERVICE, service);
	hear(who, &m, request);
}

static void tell_gone(int who, uint64_t number)
{
	struct ipc_out m;

	ipc_out_start(&m, CONTROL_PEER_GONE, 0);
	ipc_put_u64(&m, CONTROL_NUMBER, number);
	hear(who, &m, 0);
}

/* The next packet that master has sent to `who`; its descriptors are closed.  False: none. */
static bool next_packet(int who, struct ipc_in *in)
{
	static uint8_t packet[IPC_MAX];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS)];
	} control;
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(ends[who], &msg, MSG_DONTWAIT);

	if (n < 0)
		return false;
	*in = (struct ipc_in){ .data = packet, .len = (size_t)n };
	struct cursor c = cursor_make(packet, in->len);

	in->type = cursor_u16(&c);
	in->request = cursor_u32(&c);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h)) {
		int fd;

		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
		close(fd);
		in->fd_count++;
	}
	return true;
}

/* The last packet but hellos, and how many there were. */
static void drain(int who, struct ipc_in *last, size_t *count)
{
	struct ipc_in in;

	if (count)
		*count = 0;
	for (bool more = true; more;) {
		/* What the socket has no room for waits in the channel. */
		ev_run(loop_get(), EVRUN_NOWAIT);
		for (more = false; next_packet(who, &in); more = true) {
			if (in.type == 0xffff)
				continue;
			if (last)
				*last = in;
			if (count)
				++*count;
		}
	}
}

static void assert_refused(int who, uint32_t request, enum err_code code, const char *why)
{
	struct ipc_in in = { 0 };
	struct slice text;
	uint64_t number;

	drain(who, &in, NULL);
	assert_int_equal(in.type, CONTROL_CONNECTED);
	assert_int_equal(in.request, request);
	assert_int_equal(in.fd_count, 0);
	assert_true(ipc_get_u64(&in, CONTROL_CODE, &number));
	assert_int_equal(number, code);
	assert_true(ipc_get_bytes(&in, CONTROL_TEXT, &text));
	if (!slice_ends_nocase(text, slice_of(why)))
		fail_msg("%.*s", SLICE_FMT(text));
}

static void test_both_ends_are_given(void **state)
{
	struct ipc_in in = { 0 };
	struct slice role;
	uint64_t number;

	ask(SMTPD, "cleanup", 7);
	drain(SMTPD, &in, NULL);
	assert_int_equal(in.type, CONTROL_CONNECTED);
	assert_int_equal(in.request, 7);
	assert_int_equal(in.fd_count, 1);
	drain(CLEANUP, &in, NULL);
	assert_int_equal(in.type, CONTROL_PEER);
	assert_int_equal(in.fd_count, 1);
	assert_true(ipc_get_bytes(&in, CONTROL_ROLE, &role));
	assert_true(slice_eq(role, SLICE("smtpd")));
	assert_true(ipc_get_u64(&in, CONTROL_NUMBER, &number));
	assert_non_null(children[CLEANUP].given);
	tell_gone(SMTPD, number);   /* not its own */
	tell_gone(CLEANUP, number + 1);
	assert_non_null(children[CLEANUP].given);
	tell_gone(CLEANUP, number);
	assert_null(children[CLEANUP].given);
	forget_all();
}

static void test_what_is_not_in_the_table_is_refused(void **state)
{
	struct ipc_out m;
	char name[200];

	ask(SMTP, "qmgr", 1);
	assert_refused(SMTP, 1, ERR_PERMANENT, "not allowed");
	ask(SMTPD, "smtp", 2);
	assert_refused(SMTPD, 2, ERR_PERMANENT, "not allowed");
	ask(SMTP, "cleanup", 3);
	assert_refused(SMTP, 3, ERR_PERMANENT, "not allowed");
	ask(SMTPD, "nothing", 4);
	assert_refused(SMTPD, 4, ERR_TEMPORARY, "no such service");
	ask(SMTPD, "", 5);
	assert_refused(SMTPD, 5, ERR_PERMANENT, "no name of a service");
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ask(SMTPD, name, 6);
	assert_refused(SMTPD, 6, ERR_PERMANENT, "no name of a service");
	ipc_out_start(&m, CONTROL_CONNECT, 7);
	ipc_put_u64(&m, CONTROL_SERVICE, 1);
	hear(SMTPD, &m, 7);
	assert_refused(SMTPD, 7, ERR_PERMANENT, "no name of a service");
	for (int i = 0; i < RESOLVER; i++)
		assert_null(children[i].given);
}

/* A process that was taken over cannot use up the descriptors of another. */
static void test_connections_have_a_limit(void **state)
{
	struct ipc_in in = { 0 };
	size_t given = 0, count = 0;

	for (uint32_t i = 1; i <= 1000; i++) {
		ask(SMTPD, "cleanup", i);
		drain(SMTPD, &in, NULL);
		assert_int_equal(in.fd_count, 1);
		drain(CLEANUP, NULL, &count);
		given += count;
	}
	assert_int_equal(given, 1000);
	ask(SMTPD, "cleanup", 1001);
	assert_refused(SMTPD, 1001, ERR_TEMPORARY, "too many connections");
	drain(CLEANUP, NULL, &count);
	assert_int_equal(count, 0);
	/* Nobody else's matter; and one that has gone makes room. */
	ask(QMGR, "cleanup", 1);
	drain(QMGR, &in, NULL);
	assert_int_equal(in.fd_count, 1);
	tell_gone(CLEANUP, children[CLEANUP].given->next->number);
	ask(SMTPD, "cleanup", 1002);
	drain(SMTPD, &in, NULL);
	assert_int_equal(in.fd_count, 1);
	forget_all();
}

/* Nor the list of those who wait. */
static void test_waiting_has_a_limit(void **state)
{
	size_t count;
	/* It has no process, and none can be started now. */
	struct service *resolver = service_find("resolver", false);

	ev_timer_stop(loop_get(), &resolver->restart);
	ev_timer_set(&resolver->restart, 1000, 0);
	ev_timer_start(loop_get(), &resolver->restart);
	for (uint32_t i = 1; i <= 100; i++)
		ask(SMTPD, "resolver", i);
	drain(SMTPD, NULL, &count);
	assert_int_equal(count, 0);
	ask(SMTPD, "resolver", 101);
	assert_refused(SMTPD, 101, ERR_TEMPORARY, "too many wait for it");
	ask(QMGR, "resolver", 1);
	drain(QMGR, NULL, &count);
	assert_int_equal(count, 0);
	switchboard_tick(TASK_FOREVER);
	assert_refused(QMGR, 1, ERR_TEMPORARY, "no process at this time");
	drain(SMTPD, NULL, &count);
	assert_int_equal(count, 100);
	/* Who ends while it waits is forgotten. */
	ask(SMTPD, "resolver", 1);
	switchboard_forget(&children[SMTPD]);
	switchboard_tick(TASK_FOREVER);
	drain(SMTPD, NULL, &count);
	assert_int_equal(count, 0);
}

/* One connection a process: the second asks for another process, of which there is none. */
static void test_distinct(void **state)
{
	struct ipc_in in = { 0 };

	ask(QMGR, "smtp", 1);
	drain(QMGR, &in, NULL);
	assert_int_equal(in.fd_count, 1);
	ask(QMGR, "smtp", 2);
	assert_refused(QMGR, 2, ERR_TEMPORARY, "process limit reached");
	forget_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ends_are_given),
		cmocka_unit_test(test_what_is_not_in_the_table_is_refused),
		cmocka_unit_test(test_connections_have_a_limit),
		cmocka_unit_test(test_waiting_has_a_limit),
		cmocka_unit_test(test_distinct),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
