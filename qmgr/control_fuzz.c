/* SPDX-License-Identifier: ISC */
/* What cleanup, showq and commands may say to the queue manager, over real connections. */
#include <ev.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "common/proto/qmgr_proto.h"
#include "qmgr/limits.h"
#include "qmgr/qmgr.h"
#include "qmgr/sites.h"
#include "tests/support/fuzz.h"

#define PACKETS 32

static char folder[64];

static void remove_folder(void)
{
	(void)rmdir(folder);
}

static void start(void)
{
	struct err err = { 0 };
	int empty = memfd_create("main.cf", MFD_CLOEXEC), directory;
	struct config_override override[] = { { "mynetworks", "127.0.0.1" }, { "local_recipient_maps", "" } };
	struct config *config = config_load_copy("/nowhere", empty, override, 2, &err);
	struct router *router = config ? router_create(config, &err) : NULL;

	FUZZ_CHECK(router && sites_open(config, &err) && limits_open(config, &err));
	snprintf(folder, sizeof(folder), "/tmp/control_fuzz.XXXXXX");
	FUZZ_CHECK(mkdtemp(folder));
	atexit(remove_folder);
	directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	agents_open(config, schedule_create());
	activate_open(config, router);
	queue_open(config, directory, directory);
}

static void turn(void)
{
	ev_run(loop_get(), EVRUN_NOWAIT);
	ev_run(loop_get(), EVRUN_NOWAIT);
}

static void say_hello(int fd)
{
	struct ipc_out m;

	ipc_out_start(&m, 0xffff, 0);
	ipc_put_text(&m, 1, qmgr_protocol.name);
	ipc_put_u64(&m, 2, qmgr_protocol.version);
	(void)!send(fd, m.data, m.len, MSG_NOSIGNAL);
}

/* Answers are whole packets of the types that there are. */
static void drain(int fd)
{
	static uint8_t packet[IPC_MAX];
	ssize_t n;

	while ((n = recv(fd, packet, sizeof(packet), 0)) > 0) {
		struct cursor c = cursor_make(packet, (size_t)n);
		uint16_t type = cursor_u16(&c);

		FUZZ_CHECK(ipc_valid(packet, (size_t)n));
		FUZZ_CHECK(type == 0xffff || type == QMGR_ENTRIES || type == QMGR_END || type == QMGR_RESULT ||
			   type == QMGR_RETURNED);
	}
}

/* Role; then packets: length and bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const roles[] = { "cleanup", "showq", "smtpd", NULL };
	struct cursor c = cursor_make(data, size);
	uint8_t role = cursor_u8(&c);
	int pair[2];

	if (!folder[0]) {
		fuzz_quiet();
		start();
	}
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	queue_wait(SLICE("4abcdefz1"), loop_now() + 10000);
	control_accept(pair[0], roles[role & 3]);
	if (!(role & 4))
		say_hello(pair[1]);
	for (int n = 0; n < PACKETS && cursor_left(&c) > 2; n++) {
		struct slice packet = cursor_bytes(&c, cursor_u16(&c));

		if (packet.len > 0)
			(void)!send(pair[1], packet.ptr, packet.len, MSG_NOSIGNAL);
		turn();
		drain(pair[1]);
	}
	FUZZ_CHECK(deferred_count(queue_deferred()) <= 1 || role == 0);
	close(pair[1]);
	turn();
	(void)queue_delete_all();
	return 0;
}
