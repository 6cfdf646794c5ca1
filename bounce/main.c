/* SPDX-License-Identifier: ISC */
/* bounce: tells senders what could not be delivered.  Asked by qmgr; a notice is a new message. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bounce/notice.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/mail/verp.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "common/proto/qmgr_proto.h"

#define TIMEOUT       240
#define TEMPLATES_MAX 262144

static struct {
	struct notice_settings settings;
	struct templates templates;
	uint64_t size_limit;       /* of a message that is returned */
	double lifetime;
	const char *double_bounce_recipient, *bounce_recipient, *delay_recipient;
	char *double_bounce;       /* sender of what the postmaster gets */
	bool copy_bounce, copy_double_bounce, copy_delay, plain_verp;
	struct ipc_client *cleanup;
	struct ipc_channel *qmgr;
	uint64_t connection;       /* number of the one in use */
	struct task_group tasks;
} me;

struct work {
	struct arena *arena;
	int fd;
	uint32_t request;
	struct slice id;
	enum qmgr_notice kind;
	uint64_t connection;       /* that it came by: the numbers of another one's requests are others */
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
		ssize_t got = file_read_at(w->fd, buf, end - skip < sizeof(buf) ? (size_t)(end - skip) : sizeof(buf),
					   MESSAGE_CONTENT_OFFSET + skip);

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

/* A notice's way: who gets it, from whom. */
struct letter {
	struct slice to, sender;
	bool smtputf8, require_tls;
	const char *what;          /* in the log */
};

static bool submit(const struct work *w, const struct letter *letter, struct slice text, struct err *err)
{
	struct message_recipient to = { .address = letter->to, .status = RECIPIENT_PENDING, .notify = NOTIFY_NEVER };
	struct message_envelope envelope = { .origin = ORIGIN_BOUNCE, .sender = letter->sender, .recipients = &to,
					     .recipient_count = 1, .smtputf8 = letter->smtputf8, .require_tls = letter->require_tls,
					     .arrival = loop_now() };
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	struct message_content content;

	if (!cleanup_open(&session, me.cleanup, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	if (!file_write_at(session.fd, text, MESSAGE_CONTENT_OFFSET)) {
		cleanup_abort(&session);
		return err_set_errno(err, ERR_TEMPORARY, "write notice");
	}
	describe(text, &content);
	log_info("%.*s: %s: %s", SLICE_FMT(w->id), letter->what, session.queue_id);
	if (!cleanup_commit(&session, &envelope, &content, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	return true;
}

/* --- what is sent to whom --- */

/* A message to report on, as read. */
struct subject {
	const struct work *work;
	struct message_layout layout;
	struct message_envelope envelope;
	struct message_result *results;
	double now;
};

static const char *const sender_words[] = { [NOTICE_FAILURE] = "sender non-delivery notification",
					    [NOTICE_SUCCESS] = "sender delivery status notification",
					    [NOTICE_DELAY] = "sender delay notification" };

static bool send_one(const struct subject *s, struct notice *n, const struct letter *letter, struct err *err)
{
	const struct work *w = s->work;
	struct str original = { 0 }, text = { 0 };
	bool ok;

	n->kind = w->kind;
	n->queue_id = w->id;
	n->to = letter->to;
	n->envelope = &s->envelope;
	n->results = s->results;
	n->now = s->now;
	n->retry_until = s->envelope.arrival + me.lifetime;
	/* RET speaks of failures; what has arrived, or will, nobody needs a copy of. */
	/* RFC 8689, section 5: what was to be kept from others does not come back in full. */
	n->header_only = n->postmaster || s->envelope.require_tls || w->kind != NOTICE_FAILURE || s->envelope.ret == RET_HDRS ||
			 s->layout.content.length > me.size_limit;
	ok = read_original(w, &s->layout, n->header_only, &original, err);
	if (ok) {
		n->original = str_slice(&original);
		notice_write(n, &me.settings, &text);
		ok = submit(w, letter, str_slice(&text), err);
	}
	str_free(&original);
	str_free(&text);
	return ok;
}

/* Each failure to the sender that the recipient's copy had. */
static bool send_verp(const struct subject *s, struct err *err)
{
	const struct message_envelope *e = &s->envelope;
	bool ok = true;

	for (uint32_t i = 0; ok && i < e->recipient_count; i++) {
		const struct message_recipient *r = &e->recipients[i];
		struct notice n = { .only = i };
		struct str to = { 0 };

		if (!notice_concerns(s->work->kind, r))
			continue;
		verp_sender(&to, e->verp, e->sender, r->original.len ? r->original : r->address);
		ok = send_one(s, &n,
			      &(struct letter){ str_slice(&to), SLICE_NONE, e->smtputf8, e->require_tls, sender_words[s->work->kind] }, err);
		str_free(&to);
	}
	return ok;
}

static bool send_to_postmaster(const struct subject *s, const char *to, const char *what, struct err *err)
{
	struct notice n = { .only = NOTICE_ALL, .postmaster = true };

	return send_one(s, &n,
			&(struct letter){ slice_of(to), slice_of(me.double_bounce), s->envelope.smtputf8, false, what }, err);
}

/* A copy is no reason to tell the sender once more. */
static void copy_to_postmaster(const struct subject *s)
{
	const char *what = s->work->kind == NOTICE_DELAY ? "postmaster delay notification" :
			   "postmaster non-delivery notification";
	const char *to = s->work->kind == NOTICE_DELAY ? me.delay_recipient : me.bounce_recipient;
	struct err err;

	if (s->work->kind == NOTICE_SUCCESS || !(s->work->kind == NOTICE_DELAY ? me.copy_delay : me.copy_bounce))
		return;
	if (!send_to_postmaster(s, to, what, &err))
		log_warning("%.*s: cannot send a %s: %s", SLICE_FMT(s->work->id), what, err.text);
}

/* Of a notice, or of mail that wants none: nobody but the postmaster can be told. */
static bool tell_of_null_sender(const struct subject *s, struct err *err)
{
	if (s->work->kind == NOTICE_FAILURE && me.copy_double_bounce)
		return send_to_postmaster(s, me.double_bounce_recipient, "postmaster non-delivery notification", err);
	log_info("%.*s: no notice: the message has no sender", SLICE_FMT(s->work->id));
	return true;
}

static bool is_double_bounce(const struct subject *s)
{
	return slice_eq_nocase(s->envelope.sender, slice_of(me.double_bounce));
}

static bool make_notice(const struct work *w, struct err *err)
{
	struct subject s = { .work = w, .now = loop_now() };
	struct notice n = { .only = NOTICE_ALL };
	size_t concerned = 0;

	if (!message_read_layout(w->fd, &s.layout, err) ||
	    !message_read_envelope(w->fd, &s.layout, w->arena, &s.envelope, err) ||
	    !message_read_results(w->fd, &s.layout, s.envelope.recipient_count, w->arena, &s.results, err))
		return false;
	if (is_double_bounce(&s)) {
		log_warning("%.*s: undeliverable postmaster notification discarded", SLICE_FMT(w->id));
		return true;
	}
	if (s.envelope.sender.len == 0)
		return tell_of_null_sender(&s, err);
	for (size_t i = 0; i < s.envelope.recipient_count; i++)
		concerned += notice_concerns(w->kind, &s.envelope.recipients[i]);
	if (concerned == 0)
		return true;
	if (s.envelope.verp.len && w->kind == NOTICE_FAILURE && !me.plain_verp) {
		if (!send_verp(&s, err))
			return false;
	} else if (!send_one(&s, &n,
			     &(struct letter){ s.envelope.sender, SLICE_NONE, s.envelope.smtputf8, s.envelope.require_tls, sender_words[w->kind] },
			     err)) {
		return false;
	}
	copy_to_postmaster(&s);
	return true;
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
	if (me.qmgr && w->connection == me.connection)
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
	uint64_t kind;

	if (m->type != QMGR_NOTICE || m->fd_count != 1 || !ipc_get_bytes(m, QMGR_FIELD_ID, &id) ||
	    !message_id_valid(id) || !ipc_get_u64(m, QMGR_FIELD_COUNT, &kind) || kind < NOTICE_FAILURE ||
	    kind > NOTICE_DELAY) {
		log_warning("bad message %u from qmgr", m->type);
		return;
	}
	arena = arena_create(4096);
	w = arena_alloc(arena, sizeof(*w));
	*w = (struct work){ arena, ipc_take_fd(m, 0), m->request, arena_slice(arena, id), (enum qmgr_notice)kind,
			   me.connection };
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
	me.connection++;
}

static bool has_class(const struct config *config, struct slice name)
{
	struct slice list = slice_of(config_text(config, "notify_classes")), word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq_nocase(word, name))
			return true;
	return false;
}

/* A template that cannot be used is no reason to keep senders in the dark. */
static void read_templates(const struct config *config)
{
	const char *path = config_text(config, "bounce_template_file");
	struct str text = { 0 };
	struct err err = { 0 };
	int fd;

	templates_default(&me.templates, config);
	if (!path[0])
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !file_read_all(fd, TEMPLATES_MAX, &text))
		log_warning("bounce_template_file %s: %m: using the built-in texts", path);
	else if (!templates_parse(&me.templates, str_slice(&text), config, &err))
		log_warning("bounce_template_file %s: %s: using the built-in texts", path, err.text);
	if (fd >= 0)
		close(fd);
	str_free(&text);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *config = info->config;
	struct str sender = { 0 };

	me.settings = (struct notice_settings){ config_text(config, "myhostname"), config_text(config, "myorigin"),
						&me.templates };
	me.size_limit = (uint64_t)config_int(config, "bounce_size_limit");
	me.lifetime = config_time(config, "maximal_queue_lifetime");
	me.double_bounce_recipient = config_text(config, "2bounce_notice_recipient");
	me.bounce_recipient = config_text(config, "bounce_notice_recipient");
	me.delay_recipient = config_text(config, "delay_notice_recipient");
	me.copy_bounce = has_class(config, SLICE("bounce"));
	me.copy_double_bounce = has_class(config, SLICE("2bounce"));
	me.copy_delay = has_class(config, SLICE("delay"));
	me.plain_verp = config_bool(config, "disable_verp_bounces");
	str_printf(&sender, "%s@%s", config_text(config, "double_bounce_sender"), me.settings.myorigin);
	me.double_bounce = str_detach(&sender);
	read_templates(config);
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
