/* SPDX-License-Identifier: ISC */
/* bounce: tells senders what could not be delivered.  Asked by qmgr; a notice is a new message. */
#include <stdlib.h>
#include <unistd.h>

#include "bounce/notice.h"
#include "common/base/log.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "common/proto/qmgr_proto.h"

#define TIMEOUT 240

static struct {
	struct notice_settings settings;
	struct ipc_client *cleanup;
	struct ipc_channel *qmgr;
	struct task_group tasks;
} me;

struct work {
	struct arena *arena;
	int fd;
	uint32_t request;
	struct slice id;
};

/* --- the notice --- */

/* The message as delivered, up to the limit; the header alone where RET or the size say so. */
static bool read_original(const struct work *w, const struct message_layout *layout, bool header_only,
			  struct str *out, struct err *err)
{
	uint64_t skip = layout->replaces_header ? layout->content.header_length : 0;
	uint64_t end = header_only ? layout->content.header_length : layout->content.length;
	struct slice header;

	if (!message_read_new_header(w->fd, layout, w->arena, &header, err))
		return false;
	str_append(out, header);
	while (skip < end) {
		char buf[16384];
		ssize_t got = pread(w->fd, buf, end - skip < sizeof(buf) ? (size_t)(end - skip) : sizeof(buf),
				    (off_t)(MESSAGE_CONTENT_OFFSET + skip));

		if (got <= 0)
			return err_set_errno(err, ERR_TEMPORARY, "read message");
		str_append(out, slice_make(buf, (size_t)got));
		skip += (uint64_t)got;
	}
	return true;
}

static void describe(struct slice text, struct message_content *content)
{
	uint32_t line = 0;

	*content = (struct message_content){ .length = text.len, .header_length = text.len };
	for (size_t i = 0; i < text.len; i++) {
		content->eight_bit |= (unsigned char)text.ptr[i] > 127;
		content->leading_dots |= line == 0 && text.ptr[i] == '.';
		line = text.ptr[i] == '\n' ? 0 : line + 1;
		if (line > content->longest_line)
			content->longest_line = line;
		if (content->header_length == text.len && i >= 3 && memcmp(text.ptr + i - 3, "\r\n\r\n", 4) == 0)
			content->header_length = i + 1;
	}
}

static bool submit(const struct work *w, const struct message_envelope *original, struct slice text, struct err *err)
{
	struct message_recipient to = { .address = original->sender, .status = RECIPIENT_PENDING,
					.notify = NOTIFY_NEVER };
	struct message_envelope envelope = { .origin = ORIGIN_BOUNCE, .recipients = &to, .recipient_count = 1,
					     .smtputf8 = original->smtputf8, .arrival = loop_now() };
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	struct message_content content;
	size_t done = 0;

	if (!cleanup_open(&session, me.cleanup, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	while (done < text.len) {
		ssize_t got = pwrite(session.fd, text.ptr + done, text.len - done,
				     (off_t)(MESSAGE_CONTENT_OFFSET + done));

		if (got <= 0) {
			cleanup_abort(&session);
			return err_set_errno(err, ERR_TEMPORARY, "write notice");
		}
		done += (size_t)got;
	}
	describe(text, &content);
	log_info("%.*s: sender non-delivery notification: %s", SLICE_FMT(w->id), session.queue_id);
	if (!cleanup_commit(&session, &envelope, &content, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	return true;
}

static bool all_failures_unwanted(const struct message_envelope *e)
{
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].status == RECIPIENT_FAILED &&
		    (e->recipients[i].notify == 0 || e->recipients[i].notify & NOTIFY_FAILURE))
			return false;
	return true;
}

static bool make_notice(const struct work *w, struct err *err)
{
	struct message_layout layout;
	struct message_envelope envelope;
	struct message_result *results;
	struct str original = { 0 }, text = { 0 };
	struct notice n = { .queue_id = w->id, .envelope = &envelope, .now = loop_now() };
	bool ok;

	if (!message_read_layout(w->fd, &layout, err) ||
	    !message_read_envelope(w->fd, &layout, w->arena, &envelope, err) ||
	    !message_read_results(w->fd, &layout, envelope.recipient_count, w->arena, &results, err))
		return false;
	if (envelope.sender.len == 0 || all_failures_unwanted(&envelope))
		return true;
	n.results = results;
	n.header_only = envelope.ret == RET_HDRS || layout.content.length > me.settings.size_limit;
	ok = read_original(w, &layout, n.header_only, &original, err);
	if (ok) {
		n.original = str_slice(&original);
		notice_write(&n, &me.settings, &text);
		ok = submit(w, &envelope, str_slice(&text), err);
	}
	str_free(&original);
	str_free(&text);
	return ok;
}

static void run(void *arg)
{
	struct work *w = arg;
	struct arena *arena = w->arena;
	struct ipc_out packet;
	struct err err;
	bool done = make_notice(w, &err);

	if (!done)
		log_warning("%.*s: cannot send a notice: %s", SLICE_FMT(w->id), err.text);
	close(w->fd);
	ipc_out_start(&packet, QMGR_NOTICE_DONE, w->request);
	ipc_put_u64(&packet, QMGR_FIELD_COUNT, done);
	if (me.qmgr)
		(void)ipc_send(me.qmgr, &packet);
	arena_free(&arena);
	process_busy(-1);
}

/* --- qmgr --- */

static void on_close(struct ipc_channel *ch, void *context)
{
	if (me.qmgr == ch)
		me.qmgr = NULL;
	ipc_channel_free(&ch);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct arena *arena;
	struct work *w;
	struct slice id;

	if (m->type != QMGR_NOTICE || m->fd_count != 1 || !ipc_get_bytes(m, QMGR_FIELD_ID, &id) ||
	    !message_id_valid(id)) {
		log_warning("bad message %u from qmgr", m->type);
		return;
	}
	arena = arena_create(4096);
	w = arena_alloc(arena, sizeof(*w));
	*w = (struct work){ arena, ipc_take_fd(m, 0), m->request, arena_slice(arena, id) };
	process_busy(1);
	if (!task_spawn(&me.tasks, run, w)) {
		close(w->fd);
		arena_free(&arena);
		process_busy(-1);
	}
}

static void peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };

	me.qmgr = ipc_channel_create(fd, &qmgr_protocol, &handler, NULL);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	me.settings = (struct notice_settings){ config_text(info->config, "myhostname"),
						config_text(info->config, "mail_name"),
						(uint64_t)config_int(info->config, "bounce_size_limit") };
	return true;
}

static void start(const struct process_info *info)
{
	me.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = peer };

	return process_main(argc, argv, &ops);
}
