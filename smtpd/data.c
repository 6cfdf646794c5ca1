/* SPDX-License-Identifier: ISC */
/* DATA and BDAT: content from the stream into the queue file. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/file.h"
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

	if (t->failure.code || data.len == 0) {
		str_clear(&t->out);
		return;
	}
	if (file_write_at(s->ops->descriptor(t->file), data, MESSAGE_CONTENT_OFFSET + t->written)) {
		t->written += data.len;
	} else if (errno == ENOSPC || errno == EDQUOT) {
		fail(t, 452, "4.3.1", "Insufficient system storage");
	} else {
		log_warning("%s: write queue file: %m", s->ops->queue_id(t->file));
		fail(t, 451, "4.3.0", "Error: queue file write error");
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
	struct smtp_reply refusal = { 0 };
	char id[MESSAGE_ID_SIZE];

	if (t->scan.bare_lf && s->settings->bare_lf == BARE_LF_REJECT)
		fail(t, 550, "5.5.2", "Error: bare <LF> received");
	if (t->failure.code) {
		log_reject(s, "END-OF-MESSAGE", &t->failure, SLICE_NONE);
		refusal = t->failure;
		transaction_free(s);
		reply_with(s, &refusal);
		return;
	}
	if (!session_authenticate(s) || !session_ask(s, POLICY_END_OF_DATA, SLICE_NONE)) {
		transaction_free(s);
		return;
	}
	session_take_effects(s, t);
	snprintf(id, sizeof(id), "%s", s->ops->queue_id(t->file));
	uint64_t length = t->scan.content.length;
	bool done = s->ops->commit(&t->file, &t->envelope, &t->scan.content, &refusal);

	transaction_free(s);
	if (done)
		s->errors = s->junk = 0; /* a client that sends mail is no nuisance, however long it stays */
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

	if (s->bdat_failed || (t && t->bdat)) {
		reply(s, 503, "5.5.1", "Error: DATA after BDAT");
		return;
	}
	if (!t) {
		reply(s, 503, "5.5.1", "Error: need RCPT command");
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
	if (!session_ask(s, POLICY_DATA, SLICE_NONE))
		return;
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

/* False: the chunk is to be thrown away, *r is the answer. */
static bool chunk_wanted(const struct session *s, uint64_t size, bool last, struct smtp_reply *r)
{
	const struct transaction *t = s->transaction;
	uint64_t limit = s->settings->message_size_limit;

	if (size == 0 && !last)
		reply_set(r, 551, "5.7.1", "Null BDAT request");
	else if (s->bdat_failed)
		reply_set(r, 551, "5.0.0", "Discarded %llu bytes after earlier error", (unsigned long long)size);
	else if (!t)
		reply_set(r, 503, "5.5.1", "Error: need RCPT command");
	else if (t->envelope.recipient_count == 0)
		reply_set(r, 554, "5.5.1", "Error: no valid recipients");
	else if (limit && (size > limit || t->scan.content.length > limit - size))
		reply_set(r, 552, "5.3.4", "Chunk exceeds message size limit");
	return r->code == 0;
}

/* The message is lost: chunks that a client has sent already must not be taken for another's. */
static void drop_chunk(struct session *s, uint64_t size, bool last, const struct smtp_reply *r)
{
	transaction_free(s);
	s->bdat_failed = !last;
	s->status = read_chunk(s, size, false);
	if (s->status == STREAM_OK)
		reply_with(s, r);
}

static void skip_chunk(struct session *s, uint64_t size, bool last, const struct smtp_reply *r)
{
	log_reject(s, "BDAT", r, SLICE_NONE);
	drop_chunk(s, size, last, r);
}

static void fail_chunk(struct session *s)
{
	struct smtp_reply r = s->transaction->failure;

	skip_chunk(s, 0, false, &r);
}

void command_bdat(struct session *s, struct slice args)
{
	struct transaction *t = s->transaction;
	struct smtp_reply refusal = { 0 };
	uint64_t size;
	bool last;

	if (!parse_bdat(args, &size, &last)) {
		/* How many bytes follow cannot be told: nothing that comes can be a command. */
		log_warning("%s: malformed BDAT command syntax from %s[%s]: BDAT %.*s", session_queue_id(s),
			    s->client->name, s->client->address, SLICE_FMT(slice_sub(args, 0, 100)));
		reply(s, 521, "5.5.4", "Syntax: BDAT count [LAST]");
		s->quit = true;
		return;
	}
	if (!chunk_wanted(s, size, last, &refusal)) {
		skip_chunk(s, size, last, &refusal);
		return;
	}
	if (!t->bdat) {
		if (!session_ask_quietly(s, POLICY_DATA, SLICE_NONE, &refusal)) {
			drop_chunk(s, size, last, &refusal);
			return;
		}
		t->bdat = true;
		data_scan_start(&t->scan, false);
	}
	s->status = read_chunk(s, size, true);
	if (s->status != STREAM_OK) {
		transaction_free(s);
	} else if (last) {
		data_scan_finish(&t->scan, &t->out);
		write_out(s, t);
		commit(s, true);
	} else {
		write_out(s, t);
		if (t->failure.code)
			fail_chunk(s);
		else
			reply(s, 250, "2.0.0", "Ok: %llu bytes", (unsigned long long)size);
	}
}
