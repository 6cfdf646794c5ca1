/* SPDX-License-Identifier: ISC */
/* showq: lists the queue.  qmgr says what there is, the files say the rest. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/listing.h"
#include "common/process/process.h"
#include "common/proto/qmgr_proto.h"

#define TIMEOUT   300
#define PIECE     30000u
#define QUEUE_MAX 64     /* packets that wait for a slow reader before we wait for it */

static struct {
	int queue_fd;
	struct task_group tasks;
} me;

/* One listing for one caller. */
struct caller {
	struct ipc_channel *channel;  /* to the command; NULL when it is gone */
	struct ipc_client *qmgr;
	bool json, asked, complete, begun;
	bool cut;                     /* qmgr went before it had said all */
	struct str ids;               /* "ID queue\n" … */
	struct task_event more;
};

/* --- what qmgr says --- */

static void on_entries(struct ipc_in *m, void *context)
{
	struct caller *c = context;
	struct ipc_field f;
	size_t pos = 0;

	if (m->type == QMGR_END)
		c->complete = true;
	while (m->type == QMGR_ENTRIES && ipc_next(m, &pos, &f)) {
		if (f.field == QMGR_FIELD_ID && f.kind == 's' && message_id_valid(f.bytes))
			str_printf(&c->ids, "%.*s ", SLICE_FMT(f.bytes));
		else if (f.field == QMGR_FIELD_QUEUE && f.kind == 's')
			str_printf(&c->ids, "%.*s\n", SLICE_FMT(f.bytes));
	}
	task_event_broadcast(&c->more);
}

static void on_lost(void *context)
{
	struct caller *c = context;

	c->cut = !c->complete;
	c->complete = true;
	task_event_broadcast(&c->more);
}

static bool ask_qmgr(struct caller *c, struct err *err)
{
	struct ipc_out packet;

	c->qmgr = ipc_client_create("qmgr", &qmgr_protocol, process_connect);
	ipc_client_on_event(c->qmgr, on_entries, c);
	ipc_client_on_lost(c->qmgr, on_lost, c);
	if (!ipc_client_connect(c->qmgr, loop_now() + TIMEOUT, err))
		return false;
	ipc_out_start(&packet, QMGR_LIST, 0);
	if (!ipc_client_send(c->qmgr, &packet))
		return err_set(err, ERR_CLOSED, "lost connection to qmgr");
	while (!c->complete)
		if (task_event_wait(&c->more, loop_now() + TIMEOUT) != TASK_READY)
			return err_set(err, ERR_TIMEOUT, "no answer from qmgr");
	return !c->cut || err_set(err, ERR_CLOSED, "lost connection to qmgr while it listed");
}

/* --- the listing --- */

static bool send_text(struct caller *c, struct slice text)
{
	while (text.len > 0) {
		struct slice piece = slice_sub(text, 0, PIECE);
		struct ipc_out packet;

		while (c->channel && ipc_channel_queued(c->channel) > QUEUE_MAX)
			if (task_sleep(0.01) != TASK_READY)
				return false;
		if (!c->channel)
			return false;
		ipc_out_start(&packet, QMGR_ENTRIES, 0);
		ipc_put_bytes(&packet, QMGR_FIELD_TEXT, piece);
		if (!ipc_send(c->channel, &packet))
			return false;
		text = slice_sub(text, piece.len, text.len);
	}
	return true;
}

static void list(struct caller *c)
{
	struct slice rest = str_slice(&c->ids), line;
	struct listing_sum sum = { 0 };
	struct str out = { 0 };
	char id_text[MESSAGE_ID_SIZE], queue_text[16];
	bool ok = true;

	while (ok && slice_cut(&rest, '\n', &line)) {
		struct slice queue = line, id;

		slice_cut(&queue, ' ', &id);
		snprintf(id_text, sizeof(id_text), "%.*s", SLICE_FMT(id));
		snprintf(queue_text, sizeof(queue_text), "%.*s", SLICE_FMT(queue));
		if (!c->json && !c->begun)
			listing_start(&out);
		c->begun = true;
		listing_add(me.queue_fd, id_text, queue_text, c->json, &sum, &out);
		if (out.len >= PIECE) {
			ok = send_text(c, str_slice(&out));
			str_clear(&out);
		}
	}
	if (!c->json)
		listing_end(&sum, &out);
	if (ok)
		(void)send_text(c, str_slice(&out));
	str_free(&out);
}

static void serve(void *arg)
{
	struct caller *c = arg;
	struct ipc_out packet;
	struct err err;
	bool whole = ask_qmgr(c, &err);

	if (whole)
		list(c);
	else
		log_warning("%s", err.text);
	/* Without the end the command knows that this was not all. */
	if (whole && c->channel) {
		ipc_out_start(&packet, QMGR_END, 0);
		(void)ipc_send(c->channel, &packet);
		/* The command closes when it has read the end. */
		for (int i = 0; i < 500 && c->channel && task_sleep(0.02) == TASK_READY; i++)
			;
	}
	ipc_client_free(&c->qmgr);
	ipc_channel_free(&c->channel);
	str_free(&c->ids);
	free(c);
	process_busy(-1);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct caller *c = context;

	ipc_channel_free(&c->channel);
	if (!c->asked) {
		free(c);
		process_busy(-1);
	}
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct caller *c = context;
	struct slice form;

	if (m->type != QMGR_LIST || c->asked)
		return;
	c->asked = true;
	c->json = ipc_get_bytes(m, QMGR_FIELD_TEXT, &form) && slice_eq(form, SLICE("json"));
	if (!task_spawn(&me.tasks, serve, c)) {
		c->asked = false;
		on_close(ch, c);
	}
}

static void accept_command(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct caller *c = mem_alloc(sizeof(*c));

	process_busy(1);
	c->channel = ipc_channel_create(fd, &qmgr_protocol, &handler, c);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	struct str path = { 0 };

	str_printf(&path, "%s/queue", config_text(info->config, "queue_directory"));
	me.queue_fd = open(str_cstr(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (me.queue_fd < 0)
		err_set_errno(err, ERR_TEMPORARY, "open %s", str_cstr(&path));
	str_free(&path);
	return me.queue_fd >= 0;
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .accept = accept_command };

	return process_main(argc, argv, &ops);
}
