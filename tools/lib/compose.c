/* SPDX-License-Identifier: ISC */
#include "tools/lib/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/mail/address.h"
#include "common/mail/header.h"
#include "common/mail/maildrop.h"

struct recipients {
	struct arena *arena;
	struct message_recipient *all;
	size_t count, room;
	uint8_t notify;
};

bool compose_notify(const char *text, uint8_t *notify)
{
	static const struct {
		const char *name;
		uint8_t bit;
	} words[] = { { "never", NOTIFY_NEVER }, { "success", NOTIFY_SUCCESS }, { "failure", NOTIFY_FAILURE },
		      { "delay", NOTIFY_DELAY } };
	struct slice list = slice_of(text), word;

	*notify = 0;
	while (slice_word(&list, ", \t", &word)) {
		size_t i = 0;

		while (i < 4 && !slice_eq_nocase(word, slice_of(words[i].name)))
			i++;
		if (i == 4)
			return false;
		*notify |= words[i].bit;
	}
	return *notify != 0 && (!(*notify & NOTIFY_NEVER) || *notify == NOTIFY_NEVER);
}

static void add_recipient(struct recipients *r, struct slice address)
{
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 16;
		struct message_recipient *all = arena_alloc(r->arena, room * sizeof(*all));

		if (r->count)
			memcpy(all, r->all, r->count * sizeof(*all));
		r->all = all;
		r->room = room;
	}
	r->all[r->count++] = (struct message_recipient){ .address = address, .notify = r->notify };
}

static bool add_list(struct recipients *r, struct slice text, struct err *err)
{
	struct address_list list;

	if (!address_parse_list(text, r->arena, &list, err))
		return false;
	for (size_t i = 0; i < list.count; i++)
		if (list.address[i].len > 0)
			add_recipient(r, list.address[i]);
	return true;
}

/* --- reading --- */

static bool is_mbox_line(struct slice line)
{
	return slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
}

static bool is_dot(struct slice line)
{
	return line.len > 0 && line.ptr[0] == '.' &&
	       (line.len == 1 || line.ptr[1] == '\n' || (line.ptr[1] == '\r' && line.len == 3));
}

static int read_content(const struct compose_options *o, FILE *input, struct str *content, struct err *err)
{
	char *line = NULL;
	size_t room = 0;
	bool first = true;
	int status = 0;

	for (;;) {
		ssize_t n = getline(&line, &room, input);
		struct slice text = slice_make(line, n > 0 ? (size_t)n : 0);

		if (n < 0)
			break;
		if (!o->dot_is_text && is_dot(text))
			break;
		if (first && is_mbox_line(text))
			continue; /* an mbox separator, not header */
		first = false;
		if (o->size_limit && content->len + text.len > o->size_limit) {
			err_set(err, ERR_LIMIT, "message file too big");
			status = EX_UNAVAILABLE;
			break;
		}
		str_append(content, text);
	}
	if (!status && ferror(input)) {
		err_set_errno(err, ERR_TEMPORARY, "read standard input");
		status = EX_IOERR;
	}
	free(line);
	return status;
}

/* --- -t --- */

static bool is_resent(const struct header_field *f)
{
	return header_is(f, "Resent-To") || header_is(f, "Resent-Cc") || header_is(f, "Resent-Bcc");
}

static bool has_resent(struct slice header)
{
	struct header_field f;

	while (header_next(&header, &f))
		if (is_resent(&f))
			return true;
	return false;
}

/* Takes recipients out of the header, and leaves Bcc fields away. */
static int extract(struct recipients *r, struct str *content, struct err *err)
{
	struct slice rest = str_slice(content);
	struct header_field f;
	struct str kept = { 0 }, value = { 0 };
	bool resent = has_resent(rest), ok = true;

	while (ok && header_next(&rest, &f)) {
		bool wanted = resent ? is_resent(&f) :
				       header_is(&f, "To") || header_is(&f, "Cc") || header_is(&f, "Bcc");

		if (wanted) {
			str_clear(&value);
			header_unfold(&value, f.value);
			/* The arena keeps what the addresses point into. */
			ok = add_list(r, arena_slice(r->arena, str_slice(&value)), err);
		}
		if (!header_is(&f, "Bcc") && !header_is(&f, "Resent-Bcc"))
			str_append(&kept, f.whole);
	}
	str_append(&kept, rest);
	str_free(&value);
	if (!ok) {
		str_free(&kept);
		return EX_DATAERR;
	}
	str_free(content);
	*content = kept;
	return 0;
}

/* --- all --- */

static int find_sender(const struct compose_options *o, struct arena *arena, struct slice *sender, struct err *err)
{
	struct address_list list;
	struct slice text = slice_trim(slice_of(o->sender));

	*sender = slice_of(o->login);
	if (!o->sender)
		return 0;
	*sender = SLICE_NONE;
	if (text.len == 0 || slice_eq(text, SLICE("<>")))
		return 0;
	if (!address_parse_list(text, arena, &list, err) || list.count != 1) {
		err_set(err, ERR_SYNTAX, "malformed sender address: %s", o->sender);
		return EX_USAGE;
	}
	*sender = list.address[0];
	return 0;
}

static int find_recipients(const struct compose_options *o, struct recipients *r, struct str *content, struct err *err)
{
	int status = 0;

	for (char *const *at = o->recipients; *at; at++)
		if (!add_list(r, slice_of(*at), err))
			return EX_USAGE;
	if (o->extract)
		status = extract(r, content, err);
	if (status)
		return status;
	if (r->count > 0)
		return 0;
	err_set(err, ERR_SYNTAX, o->extract ? "No recipient addresses found in message header" :
			"Recipient addresses must be specified on the command line or via the -t option");
	return EX_USAGE;
}

static int build(const struct compose_options *o, const struct recipients *r, struct slice sender, struct slice content,
		 struct str *out, struct err *err)
{
	struct message_envelope e = { .sender = sender, .sender_full_name = slice_of(o->full_name),
				      .envid = slice_of(o->envid), .verp = slice_of(o->verp), .ret = o->ret, .body_8bitmime = o->body_8bitmime,
				      .recipients = r->all, .recipient_count = r->count };

	if (r->count > MAILDROP_RECIPIENTS_MAX) {
		err_set(err, ERR_LIMIT, "too many recipients");
		return EX_USAGE;
	}
	if (!maildrop_encode(out, &e)) {
		err_set(err, ERR_SYNTAX, "an address or option is too long or has control characters");
		return EX_USAGE;
	}
	str_append(out, content);
	return 0;
}

int compose_message(const struct compose_options *options, FILE *input, struct str *out, struct err *err)
{
	struct recipients r = { .arena = arena_create(0), .notify = options->notify };
	struct str content = { 0 };
	struct slice sender;
	int status = find_sender(options, r.arena, &sender, err);

	/* Before reading, so that a mistake shows at once. */
	if (!status && !options->extract)
		status = find_recipients(options, &r, &content, err);
	if (!status)
		status = read_content(options, input, &content, err);
	if (!status && options->extract)
		status = find_recipients(options, &r, &content, err);
	if (!status)
		status = build(options, &r, sender, str_slice(&content), out, err);
	str_free(&content);
	arena_free(&r.arena);
	return status;
}
