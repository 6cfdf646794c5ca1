/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/base/task.h"
#include "common/proto/cleanup_proto.h"
#include "delivery/local/local.h"

#define PIECE   65536u
#define TIMEOUT 300

static bool put(int fd, struct slice data, off_t *at)
{
	while (data.len > 0) {
		ssize_t done = pwrite(fd, data.ptr, data.len, *at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		*at += done;
		data = slice_sub(data, (size_t)done, data.len);
	}
	return true;
}

/* The stored header block in front becomes part of the new message's content. */
static bool copy_content(const struct local_delivery *d, int fd, struct message_content *content)
{
	const struct message_layout *layout = &d->job->layout;
	uint64_t skip = layout->replaces_header ? layout->content.header_length : 0;
	off_t from = (off_t)(MESSAGE_CONTENT_OFFSET + skip);
	off_t end = (off_t)(MESSAGE_CONTENT_OFFSET + layout->content.length), to = MESSAGE_CONTENT_OFFSET;
	struct slice header = content_forward_header(d);
	char *buf = mem_alloc(PIECE);
	bool ok = put(fd, header, &to);

	while (ok && from < end) {
		ssize_t got = pread(d->job->fd, buf, end - from < (off_t)PIECE ? (size_t)(end - from) : PIECE, from);

		ok = got > 0 && put(fd, slice_make(buf, (size_t)got), &to);
		from += got > 0 ? got : 0;
	}
	free(buf);
	*content = layout->content;
	content->length = (uint64_t)to - MESSAGE_CONTENT_OFFSET;
	content->header_length = header.len + (layout->replaces_header ? 0 : layout->content.header_length);
	return ok;
}

static struct local_outcome refused(const struct local_delivery *d, const struct cleanup_refusal *refusal)
{
	return (struct local_outcome){ refusal->code >= 500 ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
				       arena_strdup(d->arena, refusal->dsn),
				       arena_printf(d->arena, "forwarding failed: %s", refusal->text) };
}

struct local_outcome forward_message(const struct local_delivery *d, struct ipc_client *cleanup,
				     const struct slice *addresses, size_t count)
{
	struct message_envelope envelope = d->job->envelope;
	struct message_recipient *recipients = arena_alloc(d->arena, count * sizeof(*recipients));
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	struct message_content content;

	for (size_t i = 0; i < count; i++) {
		recipients[i] = *d->recipient;
		recipients[i].address = addresses[i];
		recipients[i].original = d->recipient->address;
		recipients[i].status = RECIPIENT_PENDING;
	}
	envelope.origin = ORIGIN_FORWARD;
	envelope.recipients = recipients;
	envelope.recipient_count = count;
	if (!cleanup_open(&session, cleanup, loop_now() + TIMEOUT, &refusal))
		return refused(d, &refusal);
	if (!copy_content(d, session.fd, &content)) {
		cleanup_abort(&session);
		return (struct local_outcome){ DELIVERY_DEFERRED, "4.3.0", "cannot copy the message for forwarding" };
	}
	const char *id = arena_strdup(d->arena, session.queue_id);

	if (!cleanup_commit(&session, &envelope, &content, loop_now() + TIMEOUT, &refusal))
		return refused(d, &refusal);
	return (struct local_outcome){ DELIVERY_SENT, "2.0.0", arena_printf(d->arena, "forwarded as %s", id) };
}
