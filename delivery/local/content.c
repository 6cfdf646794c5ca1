/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/mail/address.h"
#include "delivery/local/local.h"

#define PIECE        65536u
#define HEADER_CHECK 65536u

static bool write_all(int fd, struct slice data)
{
	while (data.len > 0) {
		ssize_t done = write(fd, data.ptr, data.len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		data = slice_sub(data, (size_t)done, data.len);
	}
	return true;
}

/* CRLF to LF, over pieces; in an mbox, ">" before what reads like the start of a message. */
struct converter {
	struct str out;
	bool mbox, line_start, cr;
};

static void convert(struct converter *c, struct slice in)
{
	for (size_t i = 0; i < in.len; i++) {
		char byte = in.ptr[i];

		if (c->cr && byte != '\n')
			str_append_byte(&c->out, '\r');
		c->cr = byte == '\r';
		if (c->cr)
			continue;
		if (c->line_start && c->mbox) {
			size_t quotes = i;

			while (quotes < in.len && in.ptr[quotes] == '>')
				quotes++;
			if (slice_starts(slice_sub(in, quotes, in.len), SLICE("From ")))
				str_append_byte(&c->out, '>');
		}
		str_append_byte(&c->out, byte);
		c->line_start = byte == '\n';
	}
}

static bool write_content(const struct local_delivery *d, int fd, struct converter *c)
{
	const struct message_layout *layout = &d->job->layout;
	uint64_t skip = layout->replaces_header ? layout->content.header_length : 0;
	off_t at = (off_t)(MESSAGE_CONTENT_OFFSET + skip), end = (off_t)(MESSAGE_CONTENT_OFFSET + layout->content.length);
	char *buf = mem_alloc(PIECE);
	bool ok = true;

	while (ok && at < end) {
		size_t want = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
		ssize_t got = pread(d->job->fd, buf, want, at);

		if (got <= 0) {
			errno = got == 0 ? EIO : errno;
			ok = false;
			break;
		}
		/* A piece ends with a whole line where it can, so that "From " is seen whole. */
		ptrdiff_t lf = slice_rfind(slice_make(buf, (size_t)got), '\n');
		size_t use = lf >= 0 && at + got < end ? (size_t)lf + 1 : (size_t)got;

		convert(c, slice_make(buf, use));
		at += (off_t)use;
		ok = write_all(fd, str_slice(&c->out));
		str_clear(&c->out);
	}
	free(buf);
	return ok;
}

static void put_envelope(const struct local_delivery *d, struct str *out, const char *eol)
{
	const struct message_recipient *r = d->recipient;
	struct slice original = r->original.len ? r->original : r->address;

	str_printf(out, "X-Original-To: %.*s%s", SLICE_FMT(address_quote(d->arena, original)), eol);
	str_printf(out, "Delivered-To: %.*s%s", SLICE_FMT(address_quote(d->arena, r->address)), eol);
}

bool content_write(const struct local_delivery *d, int fd, bool mbox)
{
	struct slice sender = d->job->envelope.sender;
	struct converter c = { .mbox = mbox, .line_start = true };
	struct str head = { 0 };
	bool ok;

	if (mbox) {
		time_t now = time(NULL);
		struct tm tm;
		char stamp[64];

		strftime(stamp, sizeof(stamp), "%a %b %e %H:%M:%S %Y", localtime_r(&now, &tm));
		str_printf(&head, "From %.*s  %s\n", SLICE_FMT(sender.len ? sender : SLICE("MAILER-DAEMON")), stamp);
	}
	str_printf(&head, "Return-Path: <%.*s>\n", SLICE_FMT(address_quote(d->arena, sender)));
	put_envelope(d, &head, "\n");
	convert(&c, d->new_header);
	str_append(&head, str_slice(&c.out));
	str_clear(&c.out);
	ok = write_all(fd, str_slice(&head)) && write_content(d, fd, &c);
	if (ok && mbox)
		ok = write_all(fd, SLICE("\n"));
	str_free(&head);
	str_free(&c.out);
	return ok;
}

struct slice content_forward_header(const struct local_delivery *d)
{
	struct str out = { 0 };

	put_envelope(d, &out, "\r\n");
	str_append(&out, d->new_header);
	struct slice header = arena_slice(d->arena, str_slice(&out));

	str_free(&out);
	return header;
}

static bool names_address(struct slice header, struct slice address)
{
	struct slice line;
	bool more = true;

	while (more) {
		more = slice_cut(&header, '\n', &line);
		if (slice_starts_nocase(line, SLICE("Delivered-To:")) &&
		    slice_eq_nocase(slice_trim(slice_sub(line, 13, line.len)), address))
			return true;
		if (slice_trim(line).len == 0)
			break;
	}
	return false;
}

bool content_was_delivered_to(const struct local_delivery *d, struct slice address)
{
	char *buf = mem_alloc(HEADER_CHECK);
	ssize_t got = pread(d->job->fd, buf, HEADER_CHECK, MESSAGE_CONTENT_OFFSET);
	struct slice quoted = address_quote(d->arena, address);
	bool found = names_address(d->new_header, quoted) ||
		     (got > 0 && names_address(slice_make(buf, (size_t)got), quoted));

	free(buf);
	return found;
}
