/* SPDX-License-Identifier: ISC */
#include "smtpd/data_scan.h"

enum state {
	LINE_START, /* nothing of the line seen */
	TEXT,
	CR,         /* a CR in the text: what it means, the next byte tells */
	DOT,        /* a dot at the start of the line, held back */
	DOT_CR
};

void data_scan_start(struct data_scan *scan, bool dots)
{
	*scan = (struct data_scan){ .dots = dots, .state = LINE_START, .after_crlf = true };
}

/* Text of the present line that has been stored. */
static void count(struct data_scan *scan, struct slice bytes)
{
	if (scan->line == 0 && bytes.len > 0 && bytes.ptr[0] == '.')
		scan->content.leading_dots = true;
	scan->line += (uint32_t)bytes.len;
	scan->content.length += bytes.len;
}

static void emit(struct data_scan *scan, struct slice bytes, struct str *out)
{
	if (bytes.len == 0)
		return;
	str_append(out, bytes);
	count(scan, bytes);
}

/* Its CRLF has been stored. */
static void line_ended(struct data_scan *scan, bool crlf)
{
	scan->content.length += 2;
	if (scan->line > scan->content.longest_line)
		scan->content.longest_line = scan->line;
	if (!scan->header_done) {
		scan->content.header_length = scan->content.length;
		scan->header_done = scan->line == 0;
	}
	scan->line = 0;
	scan->after_crlf = crlf;
	scan->bare_lf |= !crlf;
	scan->state = LINE_START;
}

static void end_line(struct data_scan *scan, bool crlf, struct str *out)
{
	str_append(out, SLICE("\r\n"));
	line_ended(scan, crlf);
}

/* Text up to the next CR or LF, in one piece; with its CRLF when that is all of the line. */
static size_t feed_text(struct data_scan *scan, struct slice in, struct str *out)
{
	ptrdiff_t lf = slice_find(in, '\n');
	size_t len = lf < 0 ? in.len : (size_t)lf;
	ptrdiff_t cr = slice_find(slice_sub(in, 0, len), '\r');

	if (cr >= 0 && cr == lf - 1) {
		str_append(out, slice_sub(in, 0, (size_t)lf + 1));
		count(scan, slice_sub(in, 0, (size_t)cr));
		line_ended(scan, true);
		return (size_t)lf + 1;
	}
	if (cr >= 0)
		len = (size_t)cr;
	emit(scan, slice_sub(in, 0, len), out);
	if (len == in.len)
		return len;
	if (in.ptr[len] == '\n')
		end_line(scan, false, out);
	else
		scan->state = CR;
	return len + 1;
}

/* Behind a CR that belongs to text: LF ends the line, else the CR was stray. */
static size_t feed_cr(struct data_scan *scan, char next, struct str *out)
{
	if (next == '\n') {
		end_line(scan, true, out);
		return 1;
	}
	emit(scan, SLICE(" "), out);
	scan->state = TEXT;
	return 0;
}

/* Behind "." at the start of a line; the dot is stuffing, or the end. */
static size_t feed_dot(struct data_scan *scan, char next, struct str *out)
{
	if (next == '\r') {
		scan->state = DOT_CR;
		return 1;
	}
	if (next == '\n') {
		end_line(scan, false, out);
		return 1;
	}
	scan->state = TEXT;
	return 0;
}

static size_t feed_dot_cr(struct data_scan *scan, char next, struct str *out, bool *end)
{
	if (next == '\n' && scan->after_crlf) {
		*end = true;
		return 1;
	}
	return feed_cr(scan, next, out);
}

size_t data_scan_feed(struct data_scan *scan, struct slice in, struct str *out, bool *end)
{
	size_t at = 0;

	*end = false;
	while (at < in.len && !*end) {
		switch (scan->state) {
		case LINE_START:
			if (scan->dots && in.ptr[at] == '.') {
				scan->state = DOT;
				at++;
				break;
			}
			scan->state = TEXT;
			/* fall through */
		case TEXT:
			at += feed_text(scan, slice_sub(in, at, in.len), out);
			break;
		case CR:
			at += feed_cr(scan, in.ptr[at], out);
			break;
		case DOT:
			at += feed_dot(scan, in.ptr[at], out);
			break;
		case DOT_CR:
			at += feed_dot_cr(scan, in.ptr[at], out, end);
			break;
		}
	}
	if (!scan->header_done)
		scan->content.header_length = scan->content.length;
	scan->content.eight_bit = scan->content.eight_bit || slice_has_eight_bit(slice_sub(in, 0, at));
	return at;
}

void data_scan_finish(struct data_scan *scan, struct str *out)
{
	if (scan->state == CR)
		emit(scan, SLICE(" "), out);
	if (scan->line > 0)
		end_line(scan, true, out);
}
