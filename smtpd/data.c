/* SPDX-License-Identifier: ISC */
/* DATA and BDAT: content from the stream into the queue file. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "smtpd/session.h"

#define WRITE_PIECE 65536u
#define CHUNK_MAX   (1ull << 40)

/* --- into the file --- */

static void fail(struct transaction *t, int code, const char *dsn, const char *text)
{
	if (!t->failure.code)
		reply_set(&t->failure, code, dsn, "%s", text);
}

static void write_out(struct session *s, struct transaction *t)
{
	struct slice data = str_slice(&t->out);

	while (data.len > 0 && !t->failure.code) {
		ssize_t done = pwrite(s->ops->descriptor(t->file), data.ptr, data.len,
				      (off_t)(MESSAGE_CONTENT_OFFSET + t->written));

		if (done > 0) {
			t->written += (uint64_t)done;
			data = slice_sub(data, (size_t)done, data.len);
		} else if (done < 0 && errno == EINTR) {
			continue;
		} else if (done < 0 && (errno == ENOSPC || errno == EDQUOT)) {
			fail(t, 452, "4.3.1", "Insufficient system storage");
		} else {
			log_warning("%s: write queue file: %m", s->ops->queue_id(t->file));
			fail(t, 451, "4.3.0", "Error: queue file write error");
		}
	}
	str_clear(&t->out);
}

static void check_size(struct session *s, struct transaction *t)
{
	uint64_t limit = s->settings->message_size_limit;

	if (limit && t->scan.content.length > limit)
		fail(t, 552, "5.3.4", "Error: message file too big");
}

/* Scans a piece of input; *end as data_scan_feed. */
static size_t take_piece(struct session *s, struct transaction *t, struct slice data, bool *end)
{
	size_t taken = data_scan_feed(&t->scan, slice_sub(data, 0, WRITE_PIECE), &t->out, end);

	check_size(s, t);
	if (t->failure.code)
		str_clear(&t->out); /* the rest is read and thrown away */
	else if (t->out.len >= WRITE_PIECE || *end)
		write_out(s, t);
	return taken;
}

/* --- the end of the message --- */

static void commit(struct session *s, bool bdat)
{
	struct transaction *t = s->transaction;
	struct smtpd_reply refusal = { 0 };
	char id[MESSAGE_ID_SIZE];

	if (t->scan.bare_lf && s->settings->bare_lf == BARE_LF_REJECT)
		fail(t, 550, "5.5.2", bdat ? "Error: bare <LF> received" : "Error: bare <LF> received");
	if (t->failure.code) {
		log_reject(s, "END-OF-MESSAGE", &t->failure, SLICE_NONE);
		refusal = t->failure;
		transaction_free(s);
		reply_with(s, &refusal);
		return;
	}
	snprintf(id, sizeof(id), "%s", s->ops->queue_id(t->file));
	uint64_t length = t->scan.content.length;
	bool done = s->ops->commit(&t->file, &t->envelope, &t->scan.content, &refusal);

	transaction_free(s);
	if (!done)
		reply_with(s, &refusal);
	else if (bdat)
		reply(s, 250, "2.0.0", "Ok: %llu bytes queued as %s", (unsigned long long)length, id);
	else
		reply(s, 250, "2.0.0", "Ok: queued as %s", id);
}

/* --- DATA --- */

void command_data(struct session *s, struct slice args)
{
	struct transaction *t = s->transaction;
	bool end = false;
	enum stream_status status = STREAM_OK;

	if (!t) {
		reply(s, 503, "5.5.1", "Error: need MAIL command");
		return;
	}
	if (t->bdat) {
		reply(s, 503, "5.5.1", "Error: DATA after BDAT");
		return;
	}
	if (t->envelope.recipient_count == 0) {
		reply(s, 554, "5.5.1", "Error: no valid recipients");
		return;
	}
	if (args.len > 0) {
		reply(s, 501, "5.5.4", "Syntax: DATA");
		return;
	}
	data_scan_start(&t->scan, true);
	reply(s, 354, "", "End data with <CR><LF>.<CR><LF>");
	while (status == STREAM_OK && !end) {
		struct slice data;

		stream_set_timeout(s->stream, s->settings->timeout);
		status = stream_peek(s->stream, &data);
		if (status == STREAM_OK)
			stream_consume(s->stream, take_piece(s, t, data, &end));
	}
	if (status != STREAM_OK) {
		s->status = status;
		transaction_free(s);
		return;
	}
	commit(s, false);
}

/* --- BDAT (RFC 3030) --- */

/* The bytes of a chunk: into the message, or away. */
static enum stream_status read_chunk(struct session *s, uint64_t size, bool keep)
{
	while (size > 0) {
		struct slice data;
		bool end;
		enum stream_status status;

		stream_set_timeout(s->stream, s->settings->timeout);
		status = stream_peek(s->stream, &data);
		if (status != STREAM_OK)
			return status;
		data = slice_sub(data, 0, size < WRITE_PIECE ? (size_t)size : WRITE_PIECE);
		if (keep)
			take_piece(s, s->transaction, data, &end);
		stream_consume(s->stream, data.len);
		size -= data.len;
	}
	return STREAM_OK;
}

static bool parse_bdat(struct slice args, uint64_t *size, bool *last)
{
	struct slice word;

	if (!slice_word(&args, " \t", &word) || !slice_to_u64(word, size) || *size > CHUNK_MAX)
		return false;
	*last = slice_word(&args, " \t", &word) && slice_eq_nocase(word, SLICE("LAST"));
	return (*last || word.len == 0) && slice_trim(args).len == 0;
}

void command_bdat(struct session *s, struct slice args)
{
	struct transaction *t = s->transaction;
	uint64_t size;
	bool last, wanted;

	if (!parse_bdat(args, &size, &last)) {
		/* How many bytes follow cannot be told: nothing that comes can be a command. */
		reply(s, 501, "5.5.4", "Syntax: BDAT count [LAST]");
		s->quit = true;
		return;
	}
	wanted = t && t->envelope.recipient_count > 0;
	if (wanted && !t->bdat) {
		t->bdat = true;
		data_scan_start(&t->scan, false);
	}
	s->status = read_chunk(s, size, wanted && !t->failure.code);
	if (s->status != STREAM_OK) {
		transaction_free(s);
		return;
	}
	if (!wanted) {
		transaction_free(s);
		reply(s, t ? 554 : 503, "5.5.1", t ? "Error: no valid recipients" : "Error: need RCPT command");
		return;
	}
	if (last) {
		data_scan_finish(&t->scan, &t->out);
		write_out(s, t);
		commit(s, true);
	} else if (t->failure.code) {
		reply_with(s, &t->failure);
	} else {
		write_out(s, t);
		reply(s, 250, "2.0.0", "Ok: %llu bytes", (unsigned long long)size);
	}
}
