/* SPDX-License-Identifier: ISC */
#include "common/mail/header_addresses.h"

#include "common/mail/address.h"

#define FOLD_AT 72

static const struct {
	const char *name;
	enum header_kind kind;
} kinds[] = {
	{ "Apparently-To", HEADER_RECIPIENT },
	{ "Bcc", HEADER_RECIPIENT },
	{ "Cc", HEADER_RECIPIENT },
	{ "Disposition-Notification-To", HEADER_SENDER },
	{ "Errors-To", HEADER_SENDER },
	{ "From", HEADER_SENDER },
	{ "Mail-Followup-To", HEADER_SENDER },
	{ "Reply-To", HEADER_SENDER },
	{ "Resent-Bcc", HEADER_RECIPIENT },
	{ "Resent-Cc", HEADER_RECIPIENT },
	{ "Resent-From", HEADER_SENDER },
	{ "Resent-Reply-To", HEADER_RECIPIENT },
	{ "Resent-Sender", HEADER_SENDER },
	{ "Resent-To", HEADER_RECIPIENT },
	{ "Return-Path", HEADER_SENDER },
	{ "Return-Receipt-To", HEADER_SENDER },
	{ "Sender", HEADER_SENDER },
	{ "To", HEADER_RECIPIENT },
};

enum header_kind header_kind(struct slice name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_eq_nocase(name, slice_of(kinds[i].name)))
			return kinds[i].kind;
	return HEADER_PLAIN;
}

static size_t line_length(const struct str *out)
{
	ptrdiff_t end = slice_rfind(str_slice(out), '\n');

	return out->len - (size_t)(end + 1);
}

/* A longer address may want a line of its own: folded where there is white space already. */
static void put_address(struct str *out, size_t start, struct slice address)
{
	if (out->len > start && out->data[out->len - 1] == ' ' && line_length(out) + address.len > FOLD_AT) {
		while (out->len > start && out->data[out->len - 1] == ' ')
			str_truncate(out, out->len - 1);
		str_append_text(out, "\r\n\t");
	}
	str_append(out, address);
}

int header_change_addresses(const struct header_field *field, const struct header_change *change, struct str *out,
			    struct err *err)
{
	struct address_scan scan = { .rest = field->value };
	struct address_place place;
	const char *done = field->whole.ptr; /* up to here it is copied */
	size_t first = out->len, colon = (size_t)(field->value.ptr - field->whole.ptr);
	bool changed = false;

	for (size_t i = 0; i < change->limit && address_scan_next(&scan, change->arena, &place) > 0; i++) {
		struct slice to = place.address;

		if (place.null || place.address.len == 0)
			continue;
		if (!change->replace(change->context, &place, &to, err)) {
			str_truncate(out, first);
			return -1;
		}
		if (slice_eq(to, place.address))
			continue;
		str_append(out, slice_make(done, (size_t)(place.text.ptr - done)));
		put_address(out, first + colon, address_quote(change->arena, to));
		done = place.text.ptr + place.text.len;
		changed = true;
	}
	if (changed)
		str_append(out, slice_make(done, (size_t)(field->whole.ptr + field->whole.len - done)));
	return changed;
}
