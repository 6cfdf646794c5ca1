/* SPDX-License-Identifier: ISC */
#include "cleanup/headers.h"

#include "authn/results.h"
#include "common/mail/address.h"
#include "common/mail/header_addresses.h"

/* A field with other addresses than it came with. */
struct changed {
	struct changed *next;
	const char *at;      /* of the field that it stands for */
	struct slice whole;
};

/* What was found in the content's header. */
struct seen {
	bool date, message_id, from, recipient;
	bool resent, resent_date, resent_message_id, resent_from;
	bool dropped;        /* a field must go: the block replaces the header */
	bool broken;         /* text follows the fields without an empty line */
	struct changed *first, **last;
};

/* Whose addresses are completed, and with what. */
enum context { CONTEXT_NONE, CONTEXT_LOCAL, CONTEXT_REMOTE };

static enum context context_of(const struct message_envelope *e, const struct headers_settings *settings)
{
	if (e->origin == ORIGIN_LOCAL || (e->origin == ORIGIN_SMTP && e->rewrite_header))
		return CONTEXT_LOCAL;
	return e->origin == ORIGIN_SMTP && settings->rewrite_remote ? CONTEXT_REMOTE : CONTEXT_NONE;
}

static bool must_go(const struct header_field *f, const struct headers_settings *settings)
{
	for (size_t i = 0; i < settings->drop_count; i++)
		if (slice_eq_nocase(f->name, settings->drop[i]))
			return true;
	return settings->authserv_id && results_claims(f, settings->authserv_id);
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
		seen->resent_message_id = true;
	} else if (names_recipient(f)) {
		seen->recipient = true;
	}
	if (slice_starts_nocase(f->name, SLICE("Resent-"))) {
		seen->resent = true;
		seen->resent_date = seen->resent_date || header_is(f, "Resent-Date");
		seen->resent_from = seen->resent_from || header_is(f, "Resent-From");
	}
}

/* --- addresses --- */

struct rewriting {
	struct rewrite rw;
	enum rewrite_place place;
};

static bool replace_address(void *context, const struct address_place *place, struct slice *to, struct err *err)
{
	struct rewriting *r = context;
	struct rewrite_input input = { r->place, place->address, place->quoted };

	return rewrite_address(&r->rw, &input, to, err);
}

static void change_addresses(const struct header_field *f, struct rewriting *r, size_t limit, struct seen *seen,
			     struct headers_result *result)
{
	enum header_kind kind = header_kind(f->name);
	struct header_change change = { replace_address, r, r->rw.arena, limit };
	struct str text = { 0 };
	int changes;

	if (kind == HEADER_PLAIN || result->failed)
		return;
	r->place = kind == HEADER_SENDER ? REWRITE_HEADER_SENDER : REWRITE_HEADER_RECIPIENT;
	changes = header_change_addresses(f, &change, &text, &result->err);
	result->failed = changes < 0;
	if (changes > 0) {
		struct changed *c = arena_alloc(r->rw.arena, sizeof(*c));

		c->at = f->whole.ptr;
		c->whole = arena_slice(r->rw.arena, str_slice(&text));
		*seen->last = c;
		seen->last = &c->next;
	}
	str_free(&text);
}

static void change_all(struct slice fields, const struct message_envelope *e, const struct headers_settings *settings,
		       struct arena *arena, struct seen *seen, struct headers_result *result)
{
	enum context context = context_of(e, settings);
	struct rewriting r = { .rw = { .rewriter = settings->rewriter, .arena = arena,
				       .form_only = settings->form_only || e->no_address_mappings,
				       .remote = context == CONTEXT_REMOTE } };
	struct header_field f;

	seen->last = &seen->first;
	if (!settings->rewriter || context == CONTEXT_NONE)
		return;
	while (header_next(&fields, &f))
		if (f.name.len > 0 && !must_go(&f, settings))
			change_addresses(&f, &r, settings->address_limit, seen, result);
}

/* --- the block --- */

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

static void add_from(struct str *block, const char *prefix, const struct message_envelope *e,
		     const struct headers_settings *settings, struct arena *arena)
{
	if (e->sender.len == 0) {
		str_printf(block, "%sFrom: MAILER-DAEMON@%s (Mail Delivery System)\r\n", prefix, settings->origin);
		return;
	}
	struct slice address = address_quote(arena, e->sender);

	str_printf(block, "%sFrom: ", prefix);
	if (e->sender_full_name.len > 0) {
		header_phrase(block, e->sender_full_name);
		str_append_text(block, " <");
	}
	str_append(block, address);
	str_append_text(block, e->sender_full_name.len > 0 ? ">\r\n" : "\r\n");
}

/* Of a message that was sent on, the Resent- fields are those that must be whole. */
static void add_missing(struct headers_result *result, const struct seen *seen, const struct message_envelope *e,
			const char *queue_id, const struct headers_settings *settings, struct arena *arena)
{
	bool ours = context_of(e, settings) != CONTEXT_NONE || settings->always_add_missing;
	const char *prefix = seen->resent ? "Resent-" : "";
	struct str *id = seen->resent ? &result->resent_message_id : &result->message_id;
	char date[HEADER_DATE_SIZE];

	if (ours && !(seen->resent ? seen->resent_message_id : seen->message_id)) {
		header_message_id(id, e->arrival, queue_id, settings->hostname);
		str_printf(&result->block, "%sMessage-Id: ", prefix);
		str_append(&result->block, str_slice(id));
		str_append_text(&result->block, "\r\n");
	}
	if (ours && !(seen->resent ? seen->resent_date : seen->date)) {
		header_date(e->arrival, date);
		str_printf(&result->block, "%sDate: %s\r\n", prefix, date);
	}
	if (ours && !(seen->resent ? seen->resent_from : seen->from))
		add_from(&result->block, prefix, e, settings, arena);
	if (!seen->recipient && settings->undisclosed[0])
		str_printf(&result->block, "%s\r\n", settings->undisclosed);
}

/* PREPEND: what is a field of a header, and nothing that would end it. */
static void add_prepended(struct str *block, struct slice fields)
{
	struct header_field f;

	while (header_next(&fields, &f)) {
		if (f.name.len == 0)
			continue;
		str_append(block, f.whole);
		if (!slice_ends_nocase(f.whole, SLICE("\r\n"))) {
			while (block->len > 0 && (block->data[block->len - 1] == '\n' || block->data[block->len - 1] == '\r'))
				str_truncate(block, block->len - 1);
			str_append_text(block, "\r\n");
		}
	}
}

/* The content's own fields, without those that go. */
static void copy_fields(struct str *block, struct slice start, const struct headers_settings *settings,
			const struct changed *changed)
{
	struct header_field f;

	while (header_next(&start, &f)) {
		if (changed && changed->at == f.whole.ptr) {
			f.whole = changed->whole;
			changed = changed->next;
		}
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
	add_prepended(&result->block, envelope->prepend);
	header_received(&result->block, envelope, queue_id, settings->hostname, settings->mail_name, received_for);
	if (!result->complete)
		return; /* a header of this size is left as it is */
	change_all(start, envelope, settings, arena, &seen, result);
	if (result->failed)
		return;
	add_missing(result, &seen, envelope, queue_id, settings, arena);
	result->header_length = (uint64_t)(rest.ptr - start.ptr) + (blank ? (rest.ptr[0] == '\n' ? 1 : 2) : 0);
	seen.broken = rest.len > 0 && !blank;
	if (seen.dropped || seen.first || (seen.broken && result->header_length > 0)) {
		result->replaces = true;
		copy_fields(&result->block, start, settings, seen.first);
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
