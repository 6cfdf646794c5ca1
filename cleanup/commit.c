/* SPDX-License-Identifier: ISC */
#include "cleanup/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup/durable.h"
#include "common/base/file.h"
#include "common/base/log.h"

#define ADDRESS_MAX 2048
#define FIRST_READ  16384
#define FOREIGN_HEADER (1u << 20)

/* --- checks --- */

bool commit_has_room(const struct submission_settings *settings, struct cleanup_refusal *refusal)
{
	static double checked;
	static bool room;
	uint64_t need = settings->message_size_limit + settings->message_size_limit / 2;
	struct statvfs fs;

	if (need < settings->queue_minfree)
		need = settings->queue_minfree;
	if (loop_now() >= checked + 1 || loop_now() < checked || !room) {
		checked = loop_now();
		room = fstatvfs(settings->directory, &fs) < 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= need;
		if (!room)
			log_warning("not enough free space in mail queue: %llu bytes < %llu bytes",
				    (unsigned long long)fs.f_bavail * fs.f_frsize, (unsigned long long)need);
	}
	if (!room)
		spares_refusal(ENOSPC, refusal);
	return room;
}

static bool bad_text(struct slice text)
{
	if (text.len > ADDRESS_MAX)
		return true;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
			return true;
	return false;
}

static bool refuse(struct cleanup_refusal *refusal, int code, const char *dsn, const char *text)
{
	cleanup_refuse(refusal, code, dsn, "%s", text);
	return false;
}

static bool check_envelope(const struct commit *c, const struct submission_settings *settings,
			   struct cleanup_refusal *refusal)
{
	if (c->envelope.recipient_count == 0)
		return refuse(refusal, 554, "5.5.1", "Error: no recipients specified");
	if (bad_text(c->envelope.sender))
		return refuse(refusal, 501, "5.1.7", "Error: bad sender address");
	for (size_t i = 0; i < c->envelope.recipient_count; i++) {
		const struct message_recipient *r = &c->envelope.recipients[i];

		if (r->address.len == 0 || bad_text(r->address) || bad_text(r->original))
			return refuse(refusal, 501, "5.1.3", "Error: bad recipient address");
	}
	if (settings->message_size_limit && c->content.length > settings->message_size_limit)
		return refuse(refusal, 552, "5.3.4", "Error: message file too big");
	return true;
}

/* The file must hold what was announced; what a large one has beyond that is cut off. */
static bool check_file(const struct commit *c, struct cleanup_refusal *refusal)
{
	uint64_t end = MESSAGE_CONTENT_OFFSET + c->content.length;
	struct stat st;
	bool short_file = fstat(c->fd, &st) < 0 || (c->content.length > 0 && (uint64_t)st.st_size < end);

	if (short_file)
		log_warning("%s: queue file is shorter than its content", c->id);
	if (short_file || (st.st_size > MESSAGE_REUSE_MAX && (uint64_t)st.st_size > end &&
			   ftruncate(c->fd, (off_t)end) < 0))
		return refuse(refusal, 451, "4.3.0", "Error: queue file write error");
	return true;
}

/* --- header --- */

/* As much of the content's beginning as the header needs. */
static bool read_start(const struct commit *c, size_t max, struct slice *start)
{
	size_t len = c->content.length < max ? (size_t)c->content.length : max;
	char *buffer = arena_alloc(c->arena, len + 1);

	*start = slice_make(buffer, len);
	return file_read_at(c->fd, buffer, len, MESSAGE_CONTENT_OFFSET) == (ssize_t)len;
}

static bool build_header(struct commit *c, const struct submission_settings *settings,
			 struct headers_result *header, struct cleanup_refusal *refusal)
{
	struct headers_settings rules = settings->headers;
	bool foreign = c->envelope.foreign;
	size_t max = settings->header_size_limit < FIRST_READ ? FIRST_READ : settings->header_size_limit;
	size_t step = FIRST_READ;
	struct slice start;

	rules.rewriter = c->rewriter;
	if (!foreign)
		rules.authserv_id = NULL;
	else if (max < FOREIGN_HEADER)
		max = FOREIGN_HEADER;
	for (;;) {
		*header = (struct headers_result){ 0 };
		if (!read_start(c, step, &start))
			return refuse(refusal, 451, "4.3.0", "Error: queue file write error");
		headers_build(header, start, start.len == c->content.length, &c->envelope, c->id, &rules, c->arena);
		if (header->failed) {
			log_warning("%s: %s -- message not accepted, try again later", c->id, header->err.text);
			return refuse(refusal, 451, "4.3.0", "Temporary lookup failure");
		}
		if (header->complete || step >= max)
			break;
		headers_free(header);
		step = max;
	}
	/* Our own Received field counts, too. */
	if (header->hops + 1 >= settings->hopcount_limit)
		return refuse(refusal, 554, "5.4.0", "Error: too many hops");
	/* It might speak in our name where nobody has looked. */
	if (foreign && !header->complete)
		return refuse(refusal, 552, "5.3.4", "Error: message header too big");
	if (header->complete)
		c->content.header_length = header->header_length;
	return true;
}

/* --- the file --- */

struct store {
	struct durable durable; /* first */
	struct commit *commit;
	struct headers_result *header;
	struct err err;
};

/* In a worker thread: may wait for the disk. */
static bool write_message(struct durable *item, uint64_t *end)
{
	struct store *s = (struct store *)item;
	struct message_layout layout = { .state = s->commit->envelope.hold ? MESSAGE_HOLD : MESSAGE_COMMITTED,
					 .replaces_header = s->header->replaces,
					 .content = s->commit->content };
	bool ok;

	memcpy(layout.id, s->commit->id, sizeof(layout.id));
	ok = message_write(item->fd, &s->commit->envelope, &layout, str_slice(&s->header->block), &s->err);
	*end = message_end(&layout);
	return ok;
}

/* True: durable, and let go.  False: removed, with the reason in *refusal. */
static bool store_message(struct store *s, const struct submission_settings *settings,
			  struct cleanup_refusal *refusal)
{
	struct commit *c = s->commit;
	bool full;

	s->durable = (struct durable){ .write = write_message, .fd = c->fd, .room = c->room };
	durable_store(&s->durable);
	if (s->durable.ok) {
		flock(c->fd, LOCK_UN);
		close(c->fd);
		return true;
	}
	if (s->durable.error)
		log_warning("%s: sync queue file: %s", c->id, strerror(s->durable.error));
	else
		log_warning("%s: %s", c->id, s->err.text);
	full = s->durable.error ? s->durable.error == ENOSPC || s->durable.error == EDQUOT : s->err.code == ERR_NO_SPACE;
	spares_refusal(full ? ENOSPC : EIO, refusal);
	unlinkat(settings->directory, message_id_name(c->id), 0);
	flock(c->fd, LOCK_UN);
	close(c->fd);
	return false;
}

static void log_message(const struct commit *c, struct headers_result *header)
{
	log_info("%s: message-id=%s", c->id, header->message_id.len ? str_cstr(&header->message_id) : "<>");
	if (header->resent_message_id.len)
		log_info("%s: resent-message-id=%s", c->id, str_cstr(&header->resent_message_id));
}

static bool commit_with_rewriter(struct commit *c, const struct submission_settings *settings,
				 struct cleanup_refusal *refusal)
{
	struct headers_result header = { 0 };
	struct store store = { .commit = c, .header = &header };
	struct recipients_settings recipients = settings->recipients;
	bool ok;

	recipients.rewriter = c->rewriter;
	if (!commit_has_room(settings, refusal) || !check_envelope(c, settings, refusal) || !check_file(c, refusal)) {
		spares_discard(c->id, c->fd);
		return false;
	}
	if (!recipients_rewrite(&recipients, c->id, c->arena, &c->envelope, refusal) ||
	    !build_header(c, settings, &header, refusal)) {
		log_info("%s: refused: %s", c->id, refusal->text);
		spares_discard(c->id, c->fd);
		headers_free(&header);
		return false;
	}
	log_message(c, &header);
	if (c->envelope.discard) {
		/* As if it were in the queue: whoever decided this has logged why. */
		log_info("%s: discarded", c->id);
		spares_discard(c->id, c->fd);
		headers_free(&header);
		return true;
	}
	if (!sign_message(&settings->sign, &c->envelope, &c->content, c->fd, &header)) {
		log_warning("%s: message not accepted, try again later: it cannot be signed", c->id);
		cleanup_refuse(refusal, 451, "4.3.0", "Error: the message cannot be signed now");
		spares_discard(c->id, c->fd);
		headers_free(&header);
		return false;
	}
	ok = store_message(&store, settings, refusal);
	headers_free(&header);
	return ok;
}

bool commit_message(struct commit *c, const struct submission_settings *settings, struct cleanup_refusal *refusal)
{
	bool ok;

	/* Its tables may be replaced while we wait for an answer. */
	c->rewriter = rewriter_hold(settings->recipients.rewriter);
	ok = commit_with_rewriter(c, settings, refusal);
	rewriter_free(&c->rewriter);
	return ok;
}
