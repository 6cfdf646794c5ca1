/* SPDX-License-Identifier: ISC */
#include "delivery/lib/content.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/mail/address.h"

#define PIECE        65536u
#define HEADER_CHECK 65536u

bool content_open(struct content *c, int fd, struct arena *arena, struct err *err)
{
	struct message_layout layout;

	*c = (struct content){ .fd = fd, .eol = SLICE("\n") };
	if (!message_read_layout(fd, &layout, err) || !message_read_new_header(fd, &layout, arena, &c->new_header, err))
		return false;
	c->from = MESSAGE_CONTENT_OFFSET + (layout.replaces_header ? layout.content.header_length : 0);
	c->to = MESSAGE_CONTENT_OFFSET + layout.content.length;
	return true;
}

uint64_t content_size(const struct content *c)
{
	return c->to - c->from + c->new_header.len;
}

/* CRLF to the line end that is wanted, over pieces. */
struct converter {
	struct str out;
	struct slice eol;
	unsigned flags;
	bool in_line, cr;
};

static void quote(struct converter *c, struct slice line)
{
	size_t quotes = 0;

	if (c->flags & CONTENT_QUOTE_DOT && line.ptr[0] == '.')
		str_append_byte(&c->out, '.');
	while (quotes < line.len && line.ptr[quotes] == '>')
		quotes++;
	if (c->flags & CONTENT_QUOTE_FROM && slice_starts(slice_sub(line, quotes, line.len), SLICE("From ")))
		str_append_byte(&c->out, '>');
}

static void convert(struct converter *c, struct slice in)
{
	for (size_t i = 0; i < in.len; i++) {
		char byte = in.ptr[i];

		if (c->cr && byte != '\n')
			str_append_byte(&c->out, '\r');
		c->cr = byte == '\r';
		if (!c->in_line && byte != '\n' && byte != '\r')
			quote(c, slice_sub(in, i, in.len));
		c->in_line = byte != '\n';
		if (byte == '\n')
			str_append(&c->out, c->eol);
		else if (byte != '\r')
			str_append_byte(&c->out, byte);
	}
}

static bool flush(struct converter *c, int fd)
{
	bool ok = file_write(fd, str_slice(&c->out));

	str_clear(&c->out);
	return ok;
}

static bool write_body(const struct content *content, int fd, struct converter *c)
{
	off_t at = (off_t)content->from, end = (off_t)content->to;
	char *buf = mem_alloc(PIECE);
	bool ok = true;

	while (ok && at < end) {
		size_t want = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
		ssize_t got = file_read_at(content->fd, buf, want, (uint64_t)at);

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
		ok = flush(c, fd);
	}
	free(buf);
	return ok;
}

bool content_write(const struct content *content, int fd)
{
	struct converter c = { .eol = content->eol };
	bool ok;

	convert(&c, content->head);
	c.flags = content->flags;
	convert(&c, content->new_header);
	ok = flush(&c, fd) && write_body(content, fd, &c);
	if (ok && c.in_line)
		str_append(&c.out, c.eol);
	if (ok && content->flags & CONTENT_BLANK_LINE)
		str_append(&c.out, c.eol);
	ok = ok && flush(&c, fd);
	str_free(&c.out);
	return ok;
}

/* --- fields --- */

/* An address in a line of its own: nothing in it ends the line. */
static void put_address(struct str *out, struct slice address)
{
	struct arena *arena = arena_create(0);
	size_t start = out->len;

	str_append(out, address_quote(arena, address));
	for (size_t i = start; i < out->len; i++)
		if ((unsigned char)out->data[i] < ' ' || out->data[i] == 127)
			out->data[i] = '?';
	arena_free(&arena);
}

static void put_field(struct str *out, const char *name, struct slice address)
{
	if (address.len == 0)
		return;
	str_printf(out, "%s: ", name);
	put_address(out, address);
	str_append_byte(out, '\n');
}

void content_head(struct str *out, const struct content_envelope *e, unsigned which)
{
	if (which & HEAD_FROM) {
		time_t now = time(NULL);
		struct tm tm;
		char stamp[64];

		strftime(stamp, sizeof(stamp), "%a %b %e %H:%M:%S %Y", localtime_r(&now, &tm));
		str_append_text(out, "From ");
		put_address(out, e->sender);
		str_printf(out, "  %s\n", stamp);
	}
	if (which & HEAD_RETURN_PATH) {
		str_append_text(out, "Return-Path: <");
		put_address(out, e->return_path);
		str_append_text(out, ">\n");
	}
	if (which & HEAD_ORIGINAL_TO)
		put_field(out, "X-Original-To", e->original);
	if (which & HEAD_DELIVERED_TO)
		put_field(out, "Delivered-To", e->delivered);
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

bool content_was_delivered_to(const struct content *c, struct slice address)
{
	size_t size = c->to - c->from < HEADER_CHECK ? (size_t)(c->to - c->from) : HEADER_CHECK;
	char *buf = mem_alloc(size + 1);
	struct str quoted = { 0 };
	ssize_t got = file_read_at(c->fd, buf, size, c->from);

	put_address(&quoted, address);
	bool found = names_address(c->new_header, str_slice(&quoted)) ||
		     (got > 0 && names_address(slice_make(buf, (size_t)got), str_slice(&quoted)));

	str_free(&quoted);
	free(buf);
	return found;
}
