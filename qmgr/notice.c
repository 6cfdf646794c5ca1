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

/* A notice that is asked for. */
struct question {
	struct message *message;
	enum qmgr_notice kind;
};

static bool ask(const struct question *q, struct err *err)
{
	const struct message *m = q->message;
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
	ipc_put_u64(&packet, QMGR_FIELD_COUNT, (uint64_t)q->kind);
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
	struct question *q = arg;
	struct err err;
	bool done = ask(q, &err);

	if (!done)
		log_warning("%s: %s", q->message->id.ptr, err.text);
	message_noticed(q->message, q->kind, done);
	process_busy(-1);
}

void notice_send(struct message *m, enum qmgr_notice kind)
{
	struct question *q = arena_alloc(m->arena, sizeof(*q));

	*q = (struct question){ m, kind };
	process_busy(1);
	if (task_spawn(&notices.tasks, send_notice, q))
		return;
	process_busy(-1);
	message_noticed(m, kind, false);
}
