/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/proto/cleanup_proto.h"
#include "delivery/local/local.h"

#define PIECE   65536u
#define TIMEOUT 300

static bool put(int fd, struct slice data, uint64_t *at)
{
	bool ok = file_write_at(fd, data, *at);

	*at += data.len;
	return ok;
}

/* Delivered-To, by which a loop is seen, and the stored header block; CRLF. */
static struct slice new_header(const struct local_delivery *d)
{
	const struct message_recipient *r = d->recipient;
	const struct content_envelope e = { .original = r->original.len ? r->original : r->address, .delivered = r->address };
	struct str head = { 0 }, out = { 0 };
	struct slice rest, line;

	if (d->settings->delivered & DELIVERED_FORWARD)
		content_head(&head, &e, HEAD_ORIGINAL_TO | HEAD_DELIVERED_TO);
	for (rest = str_slice(&head); slice_cut(&rest, '\n', &line);)
		str_printf(&out, "%.*s\r\n", SLICE_FMT(line));
	str_append(&out, d->job->content.new_header);
	struct slice header = arena_slice(d->arena, str_slice(&out));

	str_free(&head);
	str_free(&out);
	return header;
}

/* The stored header block in front becomes part of the new message's content. */
static bool copy_content(const struct local_delivery *d, int fd, struct message_content *content)
{
	const struct message_layout *layout = &d->job->job.layout;
	uint64_t from = d->job->content.from, end = d->job->content.to, to = MESSAGE_CONTENT_OFFSET;
	struct slice header = new_header(d);
	char *buf = mem_alloc(PIECE);
	bool ok = put(fd, header, &to);

	while (ok && from < end) {
		ssize_t got = file_read_at(d->job->job.fd, buf, end - from < PIECE ? (size_t)(end - from) : PIECE, from);

		ok = got > 0 && put(fd, slice_make(buf, (size_t)got), &to);
		from += got > 0 ? (uint64_t)got : 0;
	}
	free(buf);
	*content = layout->content;
	content->length = to - MESSAGE_CONTENT_OFFSET;
	content->header_length = header.len + (layout->replaces_header ? 0 : layout->content.header_length);
	return ok;
}

static void refused(struct outcome *o, const struct cleanup_refusal *refusal)
{
	outcome_set(o, refusal->code >= 500 ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, refusal->dsn, "forwarding failed: %s",
		    refusal->text);
}

static void submit(struct local_delivery *d, const struct message_envelope *envelope, struct outcome *o)
{
	struct ipc_client *cleanup = d->settings->cleanup;
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	struct message_content content;

	if (!cleanup_open(&session, cleanup, loop_now() + TIMEOUT, &refusal)) {
		refused(o, &refusal);
		return;
	}
	const char *id = arena_strdup(d->arena, session.queue_id);

	if (!copy_content(d, session.fd, &content)) {
		cleanup_abort(&session);
		outcome_set_dsn(o, "4.3.0", "cannot copy the message for forwarding");
	} else if (!cleanup_commit(&session, envelope, &content, loop_now() + TIMEOUT, &refusal)) {
		refused(o, &refusal);
	} else {
		outcome_set_dsn(o, "2.0.0", "forwarded as %s", id);
	}
}

/* The parent's wishes for those that it was expanded to. */
static uint8_t without_success(uint8_t notify)
{
	uint8_t left = notify & (uint8_t)~NOTIFY_SUCCESS;

	return notify && !left ? NOTIFY_NEVER : left;
}

/* Those with this sender, taken off the list. */
static size_t take_with_sender(struct local_delivery *d, struct slice sender, struct message_recipient *recipients)
{
	struct local_forward **at = &d->forward;
	size_t count = 0;

	while (*at) {
		struct local_forward *f = *at;

		if (!slice_eq(f->sender, sender)) {
			at = &f->next;
			continue;
		}
		recipients[count] = *d->recipient;
		recipients[count].address = f->address;
		recipients[count].original = d->recipient->original.len ? d->recipient->original : d->recipient->address;
		recipients[count].status = RECIPIENT_PENDING;
		if (d->expanded || !slice_eq(sender, d->job->job.envelope.sender))
			recipients[count].notify = without_success(d->recipient->notify);
		count++;
		*at = f->next;
	}
	return count;
}

void local_send_forwards(struct local_delivery *d, const struct local_scope *scope)
{
	size_t count = 0;

	for (struct local_forward *f = d->forward; f; f = f->next)
		count++;
	while (d->forward) {
		struct message_envelope envelope = d->job->job.envelope;
		struct message_recipient *recipients = arena_alloc(d->arena, count * sizeof(*recipients));
		struct outcome o = { 0 };

		envelope.origin = ORIGIN_FORWARD;
		envelope.sender = d->forward->sender;
		envelope.recipients = recipients;
		envelope.recipient_count = take_with_sender(d, envelope.sender, recipients);
		if (d->job->job.probe)
			outcome_set_dsn(&o, "2.0.0", "forwards to %.*s", SLICE_FMT(recipients[0].address));
		else
			submit(d, &envelope, &o);
		local_conclude(d, scope, &o);
	}
}
