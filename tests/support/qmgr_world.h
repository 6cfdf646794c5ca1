/* SPDX-License-Identifier: ISC */
/*
 * A queue manager without master: a queue in a temporary folder, and connections whose other ends
 * the test holds.  It stands for common/process, whose calls it provides.  Included by qmgr's tests, once each.
 */
#ifndef POSTRIDER_TESTS_SUPPORT_QMGR_WORLD_H
#define POSTRIDER_TESTS_SUPPORT_QMGR_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "common/proto/qmgr_proto.h"
#include "qmgr/limits.h"
#include "qmgr/qmgr.h"

static struct {
	char folder[64];
	int queue;
	int peer;                /* our end of the last connection that qmgr asked for */
	size_t connections;
	bool refuse, retiring;
	int busy;
} qmgr_world = { .peer = -1 };

/* --- in the place of common/process --- */

int process_connect(const char *service, double deadline, struct err *err)
{
	int pair[2];

	if (qmgr_world.refuse) {
		err_set(err, ERR_TEMPORARY, "connect to service %s: refused", service);
		return -1;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	qmgr_world.peer = pair[1];
	qmgr_world.connections++;
	return pair[0];
}

void process_busy(int change)
{
	qmgr_world.busy += change;
}

bool process_retiring(void)
{
	return qmgr_world.retiring;
}

/* --- set-up --- */

static inline int qmgr_world_start(void **state)
{
	struct err err = { 0 };
	int empty = memfd_create("main.cf", MFD_CLOEXEC);
	struct config_override override[] = { { "mynetworks", "127.0.0.1" }, { "local_recipient_maps", "" },
					      { "mydestination", "here.test" } };
	struct config *config = config_load_copy("/nowhere", empty, override, 3, &err);
	struct router *router = config ? router_create(config, &err) : NULL;

	assert_non_null(router);
	log_open("test", getenv("POSTRIDER_TEST_LOG") ? 2 : -1, false);
	close(empty);
	snprintf(qmgr_world.folder, sizeof(qmgr_world.folder), "/tmp/qmgr-test.XXXXXX");
	assert_non_null(mkdtemp(qmgr_world.folder));
	qmgr_world.queue = open(qmgr_world.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(limits_open(config, &err));
	agents_open(config, schedule_create());
	activate_open(config, router);
	queue_open(config, qmgr_world.queue, qmgr_world.queue);
	notice_open();
	return 0;
}

static inline int qmgr_world_end(void **state)
{
	return rmdir(qmgr_world.folder);
}

static inline void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
}

/* A turn of the loop that may wait, but not for long: tasks are no events to libev. */
static inline void waiting_turn(void)
{
	ev_timer tick;

	ev_timer_init(&tick, on_tick, 0.01, 0);
	ev_timer_start(loop_get(), &tick);
	ev_run(loop_get(), EVRUN_ONCE);
	ev_timer_stop(loop_get(), &tick);
}

static inline void turns(void)
{
	for (int i = 0; i < 6; i++)
		ev_run(loop_get(), EVRUN_NOWAIT);
}

/* --- messages --- */

/* A committed message from `sender` to the words of `to`; their first letter "F" is a status, not an address. */
static inline void message_put(char id[MESSAGE_ID_SIZE], const char *sender, const char *to)
{
	struct message_recipient recipients[8] = { 0 };
	struct message_envelope e = { .origin = ORIGIN_SMTP, .sender = slice_of(sender), .arrival = loop_now(),
				      .recipients = recipients };
	struct message_layout layout = { .state = MESSAGE_COMMITTED };
	struct slice rest = slice_of(to), word;
	char name[MESSAGE_NAME_SIZE];
	struct err err;
	int fd;

	while (slice_word(&rest, " ", &word)) {
		recipients[e.recipient_count].status = word.ptr[0] == 'F' ? RECIPIENT_FAILED : RECIPIENT_PENDING;
		recipients[e.recipient_count++].address = word;
	}
	message_name_make(name);
	message_id_make(id, name);
	snprintf(layout.id, sizeof(layout.id), "%s", id);
	fd = openat(qmgr_world.queue, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(message_write(fd, &e, &layout, SLICE("A: b\r\n"), &err));
	if (recipients[0].status == RECIPIENT_FAILED) {
		struct arena *arena = arena_create(0);

		assert_true(message_read_envelope(fd, &layout, arena, &e, &err));
		for (size_t i = 0; i < e.recipient_count; i++)
			assert_true(message_set_status(fd, &e.recipients[i], RECIPIENT_FAILED, &err));
		arena_free(&arena);
	}
	close(fd);
}

static inline bool message_is_there(const char *id)
{
	return faccessat(qmgr_world.queue, message_id_name(id), F_OK, 0) == 0;
}

/* --- what we say and hear --- */

static inline void say_hello(int fd, const struct ipc_protocol *protocol)
{
	struct ipc_out m;

	ipc_out_start(&m, 0xffff, 0);
	ipc_put_text(&m, 1, protocol->name);
	ipc_put_u64(&m, 2, protocol->version);
	assert_int_equal(send(fd, m.data, m.len, MSG_NOSIGNAL), m.len);
}

static inline void say(int fd, const struct ipc_out *m)
{
	assert_int_equal(send(fd, m->data, m->len, MSG_NOSIGNAL), m->len);
}

/* The next packet but the hello; false when there is none now; *ended: nor will there be. */
static inline bool hear(int fd, struct ipc_in *in, bool *ended)
{
	static uint8_t packet[IPC_MAX];
	ssize_t n;

	*in = (struct ipc_in){ .data = packet };
	*ended = false;
	do {
		n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
		/* Reset: it closed without reading all that we said. */
		*ended = n == 0 || (n < 0 && errno == ECONNRESET);
		if (n <= 0)
			return false;
		struct cursor c = cursor_make(packet, (size_t)n);

		in->len = (size_t)n;
		in->type = cursor_u16(&c);
		in->request = cursor_u32(&c);
		assert_true(ipc_valid(packet, in->len));
	} while (in->type == 0xffff);
	return true;
}

static inline bool has_hung_up(int fd)
{
	struct ipc_in in;
	bool ended;

	while (hear(fd, &in, &ended))
		;
	return ended;
}

#endif
