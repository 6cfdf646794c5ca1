/* SPDX-License-Identifier: ISC */
/* What a process may say to master, of three processes that are there: no program is started. */
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/task.h"
#include "common/process/control.h"
#include "master/service.h"
#include "master/switchboard.h"
#include "tests/support/fuzz.h"

#define CHILDREN 3
#define PACKETS  64

static const char *const commands[CHILDREN] = { "smtpd", "cleanup", "smtp" };
static struct child children[CHILDREN];
static int ends[CHILDREN];

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
}

static void on_close(struct ipc_channel *ch, void *context)
{
}

static void start(void)
{
	static const struct ipc_protocol protocol = CONTROL_PROTOCOL;
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	static struct service_spec specs[CHILDREN];
	static struct plan plan = { .main_cf = -1 };

	for (int i = 0; i < CHILDREN; i++) {
		specs[i] = (struct service_spec){ .next = plan.specs, .name = commands[i],
						  .row = service_row_find(commands[i]), .path = "/nonexistent" };
		plan.specs = &specs[i];
	}
	service_apply(&plan);
	for (int i = 0; i < CHILDREN; i++) {
		int pair[2];

		FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
		children[i] = (struct child){ .service = service_find(commands[i], false), .serial = (uint64_t)i + 1,
					      .pid = 1000000 + i };
		children[i].service->children = &children[i];
		children[i].control = ipc_channel_create(pair[0], &protocol, &handler, &children[i]);
		ends[i] = pair[1];
	}
}

/* Takes what master has sent, and closes the descriptors that came along. */
static void drain(int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS)];
	} control;
	static char packet[IPC_MAX];

	for (;;) {
		struct iovec iov = { packet, sizeof(packet) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
				      .msg_controllen = sizeof(control.space) };
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 0)
			return;
		FUZZ_CHECK(ipc_valid(packet, (size_t)n));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			int passed;

			memcpy(&passed, CMSG_DATA(c), sizeof(passed));
			close(passed);
		}
	}
}

static void forget_all(void)
{
	for (int i = 0; i < CHILDREN; i++) {
		drain(ends[i]);
		switchboard_forget(&children[i]);
		FUZZ_CHECK(children[i].busy >= 0 && children[i].busy < 1000000000);
		children[i].retiring = false;
		children[i].kill_at = 0;
	}
	for (int i = 0; i < CHILDREN; i++)
		FUZZ_CHECK(!children[i].given);
}

/* Packets: who speaks, type, length, fields. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_make(data, size);

	if (!children[0].control) {
		fuzz_quiet();
		start();
	}
	for (int n = 0; n < PACKETS && cursor_left(&c) > 4; n++) {
		struct child *who = &children[cursor_u8(&c) % CHILDREN];
		struct ipc_in in = { .type = cursor_u8(&c), .request = (uint32_t)n + 1 };
		struct slice packet = cursor_bytes(&c, cursor_u16(&c));

		in.data = (const uint8_t *)packet.ptr;
		in.len = packet.len;
		if (packet.len > 0 && ipc_valid(packet.ptr, packet.len))
			service_hear(who, &in);
		drain(ends[who - children]);
	}
	switchboard_tick(TASK_FOREVER);
	forget_all();
	return 0;
}
