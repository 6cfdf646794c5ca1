/* SPDX-License-Identifier: ISC */
#include "cleanup/headers.h"

#include "common/mail/address.h"

/* What was found in the content's header. */
struct seen {
	bool date, message_id, from, recipient;
	bool dropped;        /* a field must go: the block replaces the header */
	bool broken;         /* text follows the fields without an empty line */
};

static bool must_go(const struct header_field *f, const struct headers_settings *settings)
{
	for (size_t i = 0; i < settings->drop_count; i++)
		if (slice_eq_nocase(f->name, settings->drop[i]))
			return true;
	return false;
}

static bool names_recipient(const struct header_field *f)
{
	return header_is(f, "To") || header_is(f, "Cc") || header_is(f, "Bcc") || header_is(f, "Resent-To") ||
	       header_is(f, "Resent-Cc") || header_is(f, "Resent-Bcc");
}

static void note_field(const struct header_field *f, struct seen *seen, struct headers_result *result)
{
	if (header_is(f, "Received")) {
		result->hops++;
	} else if (header_is(f, "Date")) {
		seen->date = true;
	} else if (header_is(f, "From")) {
		seen->from = true;
	} else if (header_is(f, "Message-ID")) {
		if (!seen->message_id)
			header_unfold(&result->message_id, f->value);
		seen->message_id = true;
	} else if (header_is(f, "Resent-Message-ID")) {
		if (result->resent_message_id.len == 0)
			header_unfold(&result->resent_message_id, f->value);
	} else if (names_recipient(f)) {
		seen->recipient = true;
	}
}

/* Reads over the header; the rest of `start` after the last field is returned. */
static struct slice scan(struct slice start, bool all, const struct headers_settings *settings, struct seen *seen,
			 struct headers_result *result)
{
	struct slice rest = start;
	struct header_field f;

	if (!all) /* the last line may be cut */
		rest.len = (size_t)(slice_rfind(rest, '\n') + 1);
	while (header_next(&rest, &f)) {
		if (f.name.len == 0 || must_go(&f, settings))
			seen->dropped = true;
		note_field(&f, seen, result);
	}
	result->complete = all || rest.len > 0;
	return rest;
}

static void add_from(struct str *block, const struct message_envelope *e, const struct headers_settings *settings,
		     struct arena *arena)
{
	if (e->sender.len == 0) {
		str_printf(block, "From: MAILER-DAEMON@%s (Mail Delivery System)\r\n", settings->origin);
		return;
	}
	struct slice address = address_quote(arena, e->sender);

	str_append_text(block, "From: ");
	if (e->sender_full_name.len > 0) {
		header_phrase(block, e->sender_full_name);
		str_append_text(block, " <");
	}
	str_append(block, address);
	str_append_text(block, e->sender_full_name.len > 0 ? ">\r\n" : "\r\n");
}

static void add_missing(struct headers_result *result, const struct seen *seen, const struct message_envelope *e,
			const char *queue_id, const struct headers_settings *settings, struct arena *arena)
{
	bool local = e->origin == ORIGIN_LOCAL || e->rewrite_header || settings->always_add_missing;
	char date[HEADER_DATE_SIZE];

	if (local && !seen->message_id) {
		header_message_id(&result->message_id, e->arrival, queue_id, settings->hostname);
		str_append_text(&result->block, "Message-Id: ");
		str_append(&result->block, str_slice(&result->message_id));
		str_append_text(&result->block, "\r\n");
	}
	if (local && !seen->date) {
		header_date(e->arrival, date);
		str_printf(&result->block, "Date: %s\r\n", date);
	}
	if (local && !seen->from)
		add_from(&result->block, e, settings, arena);
	if (!seen->recipient && settings->undisclosed[0])
		str_printf(&result->block, "%s\r\n", settings->undisclosed);
}

/* The content's own fields, without those that go. */
static void copy_fields(struct str *block, struct slice start, const struct headers_settings *settings)
{
	struct header_field f;

	while (header_next(&start, &f)) {
		if (f.name.len == 0)
			str_append_text(block, "X-Mailbox-Line: ");
		else if (must_go(&f, settings))
			continue;
		str_append(block, f.whole);
		if (!slice_ends_nocase(f.whole, SLICE("\n")))
			str_append_text(block, "\r\n");
	}
}

void headers_build(struct headers_result *result, struct slice start, bool all,
		   const struct message_envelope *envelope, const char *queue_id,
		   const struct headers_settings *settings, struct arena *arena)
{
	struct seen seen = { 0 };
	struct slice rest, received_for = SLICE_NONE;
	bool blank;

	*result = (struct headers_result){ 0 };
	rest = scan(start, all, settings, &seen, result);
	blank = rest.len > 0 && (rest.ptr[0] == '\n' || (rest.ptr[0] == '\r' && rest.len > 1 && rest.ptr[1] == '\n'));
	if (envelope->recipient_count == 1)
		received_for = envelope->recipients[0].original.len ? envelope->recipients[0].original :
									envelope->recipients[0].address;
	header_received(&result->block, envelope, queue_id, settings->hostname, settings->mail_name, received_for);
	if (!result->complete)
		return; /* a header of this size is left as it is */
	add_missing(result, &seen, envelope, queue_id, settings, arena);
	result->header_length = (uint64_t)(rest.ptr - start.ptr) + (blank ? (rest.ptr[0] == '\n' ? 1 : 2) : 0);
	seen.broken = rest.len > 0 && !blank;
	if (seen.dropped || (seen.broken && result->header_length > 0)) {
		result->replaces = true;
		copy_fields(&result->block, start, settings);
		if (rest.len > 0)
			str_append_text(&result->block, "\r\n");
	} else if (seen.broken) {
		/* A body alone: the block is all the header that there is. */
		str_append_text(&result->block, "\r\n");
	}
}

void headers_free(struct headers_result *result)
{
	str_free(&result->block);
	str_free(&result->message_id);
	str_free(&result->resent_message_id);
}
