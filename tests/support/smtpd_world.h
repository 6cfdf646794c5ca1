/* SPDX-License-Identifier: ISC */
/*
 * An SMTP server without a mail system: the engine's operations write to a file in memory and keep a
 * story of what they were asked.  Included by the engine's tests, once each.
 */
#ifndef POSTRIDER_TESTS_SUPPORT_SMTPD_WORLD_H
#define POSTRIDER_TESTS_SUPPORT_SMTPD_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"
#include "smtpd/smtpd.h"
#include "tests/support/memory_stream.h"

struct smtpd_file {
	int unused;
};

struct world {
	unsigned (*flush)(void *context, struct slice site);
	struct smtpd_settings settings;
	struct smtpd_file file;
	int fd;                   /* of the queue file */
	bool open;
	size_t opened, committed, aborted;
	bool refuse_open, refuse_commit;
	/* A line a commit: "S<sender> R<recipient>… [length] content". */
	struct str story;
	struct memory_stream m;
};

static inline bool world_ask(void *context, const struct policy_question *question, struct smtp_reply *reply)
{
	if (question->stage != POLICY_RECIPIENT || !slice_starts(question->facts->recipient, SLICE("no")))
		return true;
	*reply = (struct smtp_reply){ 550, "5.1.1", "no such user" };
	return false;
}

static struct world *world_now; /* the engine hands the file to some operations, and no context */

static inline struct smtpd_file *world_open(void *context, struct smtp_reply *reply)
{
	struct world *w = context;

	if (w->refuse_open) {
		*reply = (struct smtp_reply){ 452, "4.3.1", "Insufficient system storage" };
		return NULL;
	}
	assert_false(w->open);
	w->open = true;
	w->opened++;
	return &w->file;
}

static inline const char *world_queue_id(const struct smtpd_file *file)
{
	assert_true(world_now->open);
	return "4abcdefz1";
}

static inline int world_descriptor(const struct smtpd_file *file)
{
	assert_true(world_now->open);
	return world_now->fd;
}

static inline void world_tell_envelope(struct str *story, const struct message_envelope *e)
{
	static const char *const rets[] = { "", " FULL", " HDRS" };

	str_printf(story, "S<%.*s>", SLICE_FMT(e->sender));
	str_printf(story, "%s%s%s", rets[e->ret], e->body_8bitmime ? " 8BIT" : "", e->smtputf8 ? " UTF8" : "");
	if (e->envid.len)
		str_printf(story, " ENVID=%.*s", SLICE_FMT(e->envid));
	if (e->require_tls)
		str_append_text(story, " REQUIRETLS");
	if (e->deliver_by > 0)
		str_printf(story, " BY=%.0f%c%s", e->deliver_by - loop_now(), e->by_return ? 'R' : 'N', e->by_trace ? "T" : "");
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct message_recipient *r = &e->recipients[i];

		str_printf(story, " R<%.*s>", SLICE_FMT(r->address));
		if (r->notify)
			str_printf(story, " N%u", r->notify);
		if (r->orcpt.len)
			str_printf(story, " O=%.*s", SLICE_FMT(r->orcpt));
	}
}

static inline bool world_commit(struct smtpd_file **file, const struct message_envelope *e,
				const struct message_content *c, struct smtp_reply *reply)
{
	struct world *w = world_now;
	char *text = mem_alloc((size_t)c->length + 1);

	assert_true(w->open && *file == &w->file);
	*file = NULL;
	w->open = false;
	assert_int_equal(pread(w->fd, text, (size_t)c->length, MESSAGE_CONTENT_OFFSET), (ssize_t)c->length);
	w->committed++;
	world_tell_envelope(&w->story, e);
	str_printf(&w->story, " [%llu] %s\n", (unsigned long long)c->length, text);
	free(text);
	if (w->refuse_commit)
		*reply = (struct smtp_reply){ 451, "4.3.0", "not now" };
	return !w->refuse_commit;
}

static inline void world_abort(struct smtpd_file **file)
{
	struct world *w = world_now;

	assert_true(w->open && *file == &w->file);
	*file = NULL;
	w->open = false;
	w->aborted++;
}

static inline void world_make(struct world *w)
{
	log_open("test", -1, false);
	*w = (struct world){ .fd = memfd_create("content", MFD_CLOEXEC) };
	w->settings = (struct smtpd_settings){
		.myhostname = "mx.test", .banner = "mx.test ESMTP", .message_size_limit = 1000, .line_limit = 2048,
		.recipient_limit = 100, .recipient_overshoot_limit = 100, .soft_error_limit = 1000,
		.hard_error_limit = 1000, .junk_command_limit = 1000, .timeout = 300, .vrfy = true, .smtputf8 = true,
		.bare_lf = BARE_LF_NORMALIZE, .deliver_by = true, .delay_reject = true,
	};
	w->m.by_line = true;
}

static inline void world_free(struct world *w)
{
	str_free(&w->story);
	str_free(&w->m.output);
	close(w->fd);
}

/* Serves one client that says `input`, over any stream. */
static inline void world_serve(struct world *w, struct stream *stream)
{
	static const struct policy_client client = { .name = "client.test", .reverse_name = "client.test", .address = "192.0.2.1",
						      .port = "1025", .server_address = "", .server_port = "" };
	struct smtpd_ops ops = { .context = w, .flush = w->flush, .ask = world_ask, .open = world_open, .queue_id = world_queue_id,
				 .descriptor = world_descriptor, .commit = world_commit, .abort = world_abort };

	world_now = w;
	smtpd_serve(stream, &w->settings, &ops, &client);
	assert_false(w->open);
	assert_int_equal(w->opened, w->committed + w->aborted);
}

static inline const char *world_say(struct world *w, struct slice input)
{
	str_clear(&w->story);
	w->opened = w->committed = w->aborted = 0;
	w->m.input = input;
	world_serve(w, memory_stream_open(&w->m));
	assert_true(w->m.closed);
	return str_cstr(&w->m.output);
}

/* The codes of the answers to `input`, greeting included, each once: "220 250 354". */
static inline const char *world_codes(struct world *w, const char *input)
{
	static char codes[4000];
	struct slice out, line;
	size_t len = 0;

	world_say(w, slice_of(input));
	out = str_slice(&w->m.output);
	codes[0] = '\0';
	while (slice_cut(&out, '\n', &line)) {
		assert_true(line.len > 4 && line.ptr[line.len - 1] == '\r');
		if (line.ptr[3] == ' ' && len + 5 < sizeof(codes))
			len += (size_t)snprintf(codes + len, sizeof(codes) - len, "%s%.3s", len ? " " : "", line.ptr);
	}
	assert_int_equal(out.len, 0);
	return codes;
}

#endif
