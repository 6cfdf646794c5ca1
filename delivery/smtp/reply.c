/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/reply.h"

#include <stdio.h>

void smtp_reply_clear(struct smtp_reply *r)
{
	r->code = 0;
	r->dsn[0] = '\0';
	r->total = 0;
	str_clear(&r->text);
}

void smtp_reply_free(struct smtp_reply *r)
{
	str_free(&r->text);
	smtp_reply_clear(r);
}

size_t smtp_utf8_sequence(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	len = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	if (len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static void append_clean(struct str *out, struct slice text)
{
	size_t at = 0;

	while (at < text.len) {
		size_t n = smtp_utf8_sequence(slice_sub(text, at, text.len));
		unsigned char c = (unsigned char)text.ptr[at];

		if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f))) {
			str_append_byte(out, c == '\t' ? ' ' : '?');
			at++;
		} else {
			str_append(out, slice_sub(text, at, n));
			at += n;
		}
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits at *at. */
static bool take_number(struct slice s, size_t *at)
{
	size_t first = *at;

	while (*at < s.len && is_digit(s.ptr[*at]) && *at - first < 4)
		(*at)++;
	return *at > first && *at - first <= 3;
}

/* "5.1.1" at the start of the text, of the class of the code. */
static void take_dsn(struct smtp_reply *r, struct slice text)
{
	size_t at = 2;

	memcpy(r->dsn, "0.0.0", 6);
	r->dsn[0] = (char)('0' + r->code / 100);
	if (text.len < 5 || text.ptr[0] != '0' + r->code / 100 || text.ptr[1] != '.' || !take_number(text, &at) ||
	    at >= text.len || text.ptr[at] != '.')
		return;
	at++;
	if (!take_number(text, &at) || (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\t'))
		return;
	(void)snprintf(r->dsn, sizeof(r->dsn), "%.*s", SLICE_FMT(slice_sub(text, 0, at)));
}

enum smtp_reply_step smtp_reply_line(struct smtp_reply *r, struct slice line)
{
	bool formed = line.len >= 3 && line.ptr[0] >= '2' && line.ptr[0] <= '5' && is_digit(line.ptr[1]) &&
		      is_digit(line.ptr[2]) &&
		      (line.len == 3 || line.ptr[3] == ' ' || line.ptr[3] == '-' || line.ptr[3] == '\t');

	r->total += line.len + 2;
	if (r->text.len + line.len < SMTP_REPLY_KEPT_MAX) {
		if (r->text.len > 0)
			str_append_byte(&r->text, '\n');
		append_clean(&r->text, line);
	}
	if (!formed || r->total > SMTP_REPLY_TOTAL_MAX) {
		r->code = 0;
		return SMTP_REPLY_BAD;
	}
	/* Where lines disagree the last one counts, as it ends the reply. */
	r->code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
	if (line.len > 3 && line.ptr[3] == '-')
		return SMTP_REPLY_MORE;
	take_dsn(r, slice_sub(line, 4, line.len));
	return SMTP_REPLY_DONE;
}

enum stream_status smtp_reply_read(struct smtp_reply *r, struct stream *stream)
{
	smtp_reply_clear(r);
	for (;;) {
		struct slice line = SLICE_NONE;
		enum stream_status status = stream_read_line(stream, SMTP_REPLY_LINE_MAX, &line, NULL);
		bool cut = status == STREAM_TOO_LONG;

		if (status != STREAM_OK && !cut)
			return status;
		/* Parsed before skipping: the slice holds until the next read only. */
		enum smtp_reply_step step = smtp_reply_line(r, line);

		if (cut) {
			size_t left = SMTP_REPLY_TOTAL_MAX - (r->total < SMTP_REPLY_TOTAL_MAX ? r->total : SMTP_REPLY_TOTAL_MAX);
			uint64_t before = stream_bytes_in(stream);

			status = stream_skip_line(stream, left);
			if (status == STREAM_TOO_LONG)
				step = SMTP_REPLY_BAD;
			else if (status != STREAM_OK)
				return status;
			r->total += (size_t)(stream_bytes_in(stream) - before);
		}
		if (step == SMTP_REPLY_BAD)
			r->code = 0;
		if (step != SMTP_REPLY_MORE)
			return STREAM_OK;
	}
}

struct slice smtp_reply_text(const struct smtp_reply *r, size_t max, struct arena *arena)
{
	struct slice text = slice_sub(str_slice(&r->text), 0, max);
	char *copy;

	/* not in the middle of a character */
	while (text.len > 0 && text.len < r->text.len && (r->text.data[text.len] & 0xc0) == 0x80)
		text.len--;
	copy = arena_cstr(arena, text);
	for (size_t i = 0; i < text.len; i++)
		if (copy[i] == '\n')
			copy[i] = ' ';
	return slice_make(copy, text.len);
}
