/* SPDX-License-Identifier: ISC */
/* Notices to senders: bounce writes them, this asks it to. */
#include <fcntl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "common/proto/qmgr_proto.h"
#include "qmgr/qmgr.h"

#define NOTICE_TIMEOUT 300

static struct {
	struct ipc_client *bounce;
	struct task_group tasks;
} notices;

void notice_open(void)
{
	notices.bounce = ipc_client_create("bounce", &qmgr_protocol, process_connect);
}

static bool ask(struct message *m, struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out packet;
	uint64_t done = 0;
	bool answered;
	int fd;

	if (!ipc_client_connect(notices.bounce, loop_now() + NOTICE_TIMEOUT, err))
		return false;
	/* Opened again: bounce can read and not write. */
	fd = openat(queue_directory(), m->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "open for a notice");
	ipc_out_start(&packet, QMGR_NOTICE, ipc_client_request(notices.bounce));
	ipc_put_bytes(&packet, QMGR_FIELD_ID, m->id);
	ipc_put_fd(&packet, fd);
	answered = ipc_client_call(notices.bounce, &packet, loop_now() + NOTICE_TIMEOUT, &reply, err);
	close(fd);
	if (!answered)
		return false;
	(void)ipc_get_u64(&reply.in, QMGR_FIELD_COUNT, &done);
	ipc_reply_free(&reply);
	return done == 1 || err_set(err, ERR_TEMPORARY, "bounce could not send a notice");
}

static void send_notice(void *arg)
{
	struct message *m = arg;
	struct err err;
	bool done = ask(m, &err);

	if (!done)
		log_warning("%s: %s", m->id.ptr, err.text);
	message_noticed(m, done);
	process_busy(-1);
}

void notice_send(struct message *m)
{
	process_busy(1);
	if (task_spawn(&notices.tasks, send_notice, m))
		return;
	process_busy(-1);
	message_noticed(m, false);
}
