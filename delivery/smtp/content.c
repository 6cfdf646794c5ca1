/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/content.h"
#include "common/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HELD_MAX   49152u            /* a message up to this size is read with one call */
#define PIECE      65536u            /* of a filtered copy */
#define FILE_PIECE (1024u * 1024)    /* of sendfile: each gets a new deadline */

/* --- the transformer --- */

static unsigned sequence_length(unsigned char lead)
{
	return lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 ? (lead <= 0xef ? 3 : 1) : lead >= 0xc2 ? 2 : 1;
}

static void put_byte(struct content_filter *f, char c, struct str *out)
{
	unsigned char u = (unsigned char)c;
	unsigned length = 1;

	if (f->open > 0 && (u & 0xc0) == 0x80) {
		f->open--;
	} else {
		length = sequence_length(u);
		f->open = length - 1;
		if (f->limit > 0 && f->column > 1 && f->column + length > f->limit) {
			str_append(out, SLICE("\r\n "));
			f->column = 1;
		}
		if (f->dots && f->column == 0 && c == '.')
			str_append_byte(out, '.');
	}
	str_append_byte(out, c);
	f->column++;
}

/* A run without CR and LF. */
static void put_run(struct content_filter *f, struct slice run, struct str *out)
{
	if (run.len == 0)
		return;
	/* The whole run fits: only its last bytes can leave a sequence open. */
	if (run.len > 8 && (f->limit == 0 || f->column + run.len <= f->limit)) {
		size_t tail = run.len - 4;

		if (f->dots && f->column == 0 && run.ptr[0] == '.')
			str_append_byte(out, '.');
		str_append(out, slice_sub(run, 0, tail));
		f->column += tail;
		f->open = 0;
		run = slice_sub(run, tail, run.len);
	}
	for (size_t i = 0; i < run.len; i++)
		put_byte(f, run.ptr[i], out);
}

static void end_line(struct content_filter *f, struct str *out)
{
	str_append(out, SLICE("\r\n"));
	f->column = 0;
	f->open = 0;
	f->cr = false;
}

void content_filter_put(struct content_filter *f, struct slice in, struct str *out)
{
	while (in.len > 0) {
		if (f->cr) {
			if (in.ptr[0] == '\n') {
				end_line(f, out);
				in = slice_sub(in, 1, in.len);
				continue;
			}
			f->cr = false;
			f->open = 0;
			put_byte(f, ' ', out);
		}
		ptrdiff_t lf = slice_find(in, '\n');
		struct slice run = slice_sub(in, 0, lf >= 0 ? (size_t)lf : in.len);
		ptrdiff_t cr = slice_find(run, '\r');

		if (cr >= 0)
			run.len = (size_t)cr;
		put_run(f, run, out);
		in = slice_sub(in, run.len, in.len);
		if (in.len == 0)
			return;
		if (in.ptr[0] == '\r')
			f->cr = true;
		else
			end_line(f, out);
		in = slice_sub(in, 1, in.len);
	}
}

void content_filter_end(struct content_filter *f, struct str *out)
{
	if (f->cr || f->column > 0)
		end_line(f, out);
}

bool content_is_clean(struct slice s)
{
	while (s.len > 0) {
		ptrdiff_t lf = slice_find(s, '\n');

		if (lf < 1 || slice_find(s, '\r') != lf - 1)
			return false;
		s = slice_sub(s, (size_t)lf + 1, s.len);
	}
	return true;
}

/* --- the source --- */

static bool read_at(int fd, void *buf, size_t len, uint64_t offset, struct err *err)
{
	ssize_t got = file_read_at(fd, buf, len, offset);

	if (got < 0)
		return err_set_errno(err, ERR_TEMPORARY, "cannot read the queue file");
	return (size_t)got == len || err_set(err, ERR_TEMPORARY, "queue file is shorter than it says");
}

/* The old header goes out too where it is not replaced. */
static bool old_header_utf8(const struct content *c, const struct delivery_job *job, struct arena *arena,
			    struct err *err)
{
	uint64_t left = job->layout.content.header_length;
	char *buf;

	if (c->memory.ptr)
		return slice_has_eight_bit(slice_sub(c->memory, 0, left));
	buf = arena_alloc(arena, HELD_MAX);
	for (uint64_t at = MESSAGE_CONTENT_OFFSET; left > 0;) {
		size_t n = left < HELD_MAX ? (size_t)left : HELD_MAX;

		if (!read_at(job->fd, buf, n, at, err))
			return false;
		if (slice_has_eight_bit(slice_make(buf, n)))
			return true;
		at += n;
		left -= n;
	}
	return false;
}

bool content_open(struct content *c, const struct delivery_job *job, size_t line_limit, struct arena *arena,
		  struct err *err)
{
	const struct message_layout *l = &job->layout;
	uint64_t skip = l->replaces_header ? l->content.header_length : 0;
	uint64_t span = l->header_offset + l->header_length - MESSAGE_CONTENT_OFFSET - skip;
	struct err trouble = { 0 };
	char end[2];

	*c = (struct content){ .fd = job->fd };
	c->offset = MESSAGE_CONTENT_OFFSET + skip;
	c->length = l->content.length - skip;
	c->own_header = l->replaces_header ? 0 : l->content.header_length;
	c->plain = !l->content.leading_dots && (line_limit == 0 || l->content.longest_line <= line_limit);
	if (l->header_length > INT32_MAX)
		return err_set(err, ERR_TEMPORARY, "queue file has an impossible header");
	if (span <= HELD_MAX) {
		/* content, envelope and header lie side by side: one call */
		char *held = arena_alloc(arena, (size_t)span + 1);

		if (!read_at(job->fd, held, (size_t)span, c->offset, err))
			return false;
		c->memory = slice_make(held, (size_t)c->length);
		c->header = slice_make(held + (span - l->header_length), (size_t)l->header_length);
		c->plain = c->plain && (c->length < 2 || content_is_clean(c->memory));
		memcpy(end, c->length >= 2 ? held + c->length - 2 : "\r\n", 2);
	} else {
		char *held = arena_alloc(arena, (size_t)l->header_length + 1);

		if (!read_at(job->fd, held, (size_t)l->header_length, l->header_offset, err) ||
		    (c->length >= 2 && !read_at(job->fd, end, 2, c->offset + c->length - 2, err)))
			return false;
		c->header = slice_make(held, (size_t)l->header_length);
	}
	if (c->length == 1)
		c->plain = false;
	c->open_end = c->length >= 2 && memcmp(end, "\r\n", 2) != 0;
	if (c->open_end)
		c->plain = false;
	c->header_utf8 = slice_has_eight_bit(c->header);
	if (!c->header_utf8 && !l->replaces_header && l->content.eight_bit)
		c->header_utf8 = old_header_utf8(c, job, arena, &trouble);
	c->size = c->header.len + c->length;
	if (trouble.code)
		*err = trouble;
	return trouble.code == ERR_NONE;
}

bool content_read(const struct content *c, uint64_t length, struct arena *arena, struct slice *start, struct err *err)
{
	char *held;

	length = length < c->length ? length : c->length;
	if (c->memory.ptr) {
		*start = slice_sub(c->memory, 0, (size_t)length);
		return true;
	}
	held = arena_alloc(arena, (size_t)length + 1);
	*start = slice_make(held, (size_t)length);
	return length == 0 || read_at(c->fd, held, (size_t)length, c->offset, err);
}

void content_replace_header(struct content *c, struct slice header, uint64_t skip)
{
	skip = skip < c->length ? skip : c->length;
	c->header = header;
	c->header_utf8 = slice_has_eight_bit(header);
	c->offset += skip;
	c->length -= skip;
	if (c->memory.ptr)
		c->memory = slice_sub(c->memory, (size_t)skip, c->memory.len);
	c->own_header -= skip < c->own_header ? skip : c->own_header;
	c->size = c->header.len + c->length;
}

static bool header_fits(struct slice header, size_t limit)
{
	while (header.len > 0) {
		ptrdiff_t lf = slice_find(header, '\n');

		if (lf < 0 || (size_t)lf - 1 > limit)
			return false;
		header = slice_sub(header, (size_t)lf + 1, header.len);
	}
	return true;
}

bool content_can_chunk(const struct content *c)
{
	return c->plain && content_is_clean(c->header) && header_fits(c->header, 998);
}

bool content_in_memory(const struct content *c)
{
	return c->memory.ptr != NULL;
}

static enum stream_status send_rest(const struct content *c, struct stream *stream, double timeout)
{
	enum stream_status status = STREAM_OK;
	uint64_t at = c->offset, left = c->length;

	if (c->memory.ptr)
		return stream_write(stream, c->memory);
	while (left > 0 && status == STREAM_OK) {
		size_t n = left < FILE_PIECE ? (size_t)left : FILE_PIECE;

		stream_set_timeout(stream, timeout);
		status = stream_send_file(stream, c->fd, (off_t)at, n);
		at += n;
		left -= n;
	}
	return status;
}

enum stream_status content_send_chunk(const struct content *c, struct stream *stream, double timeout)
{
	enum stream_status status = stream_write(stream, c->header);

	return status == STREAM_OK ? send_rest(c, stream, timeout) : status;
}

/* Copies the rest of the file through the filter. */
static enum stream_status send_filtered(const struct content *c, struct content_filter *f, struct stream *stream,
					double timeout)
{
	struct str out = { 0 };
	enum stream_status status = STREAM_OK;
	char *buf = NULL;
	uint64_t at = c->offset, left = c->length;

	if (c->memory.ptr) {
		content_filter_put(f, c->memory, &out);
		left = 0;
	} else {
		buf = mem_alloc(PIECE);
	}
	while (left > 0 && status == STREAM_OK) {
		size_t n = left < PIECE ? (size_t)left : PIECE;

		/* A truncated copy must not get its final dot: our fault is the connection's end. */
		if (!read_at(c->fd, buf, n, at, NULL)) {
			status = STREAM_ERROR;
			break;
		}
		content_filter_put(f, slice_make(buf, n), &out);
		stream_set_timeout(stream, timeout);
		status = stream_write(stream, str_slice(&out));
		str_clear(&out);
		at += n;
		left -= n;
	}
	if (status == STREAM_OK) {
		content_filter_end(f, &out);
		status = stream_write(stream, str_slice(&out));
	}
	str_free(&out);
	free(buf);
	return status;
}

enum stream_status content_send_data(const struct content *c, struct stream *stream, size_t line_limit,
				     double timeout)
{
	struct content_filter f = { .limit = line_limit, .dots = true };
	struct str header = { 0 };
	enum stream_status status;

	stream_set_timeout(stream, timeout);
	content_filter_put(&f, c->header, &header);
	/* The block is whole lines; a damaged one must not swallow the first line of what follows. */
	content_filter_end(&f, &header);
	status = stream_write(stream, str_slice(&header));
	str_free(&header);
	if (status == STREAM_OK)
		status = c->plain ? send_rest(c, stream, timeout) : send_filtered(c, &f, stream, timeout);
	if (status == STREAM_OK)
		status = stream_write(stream, SLICE(".\r\n"));
	stream_set_timeout(stream, timeout);
	return status == STREAM_OK ? stream_flush(stream) : status;
}
