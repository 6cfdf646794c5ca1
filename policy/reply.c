/* SPDX-License-Identifier: ISC */
#include "policy/reply.h"

#include <stdarg.h>
#include <stdio.h>

void reply_set(struct smtp_reply *r, int code, const char *dsn, const char *format, ...)
{
	va_list ap;

	r->code = code;
	snprintf(r->dsn, sizeof(r->dsn), "%s", dsn);
	va_start(ap, format);
	vsnprintf(r->text, sizeof(r->text), format, ap);
	va_end(ap);
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_dsn(struct slice word)
{
	struct slice part;
	unsigned parts = 0;

	if (word.len > 9 || word.len < 5 || !strchr("245", word.ptr[0]))
		return false;
	for (bool more = true; more; parts++) {
		more = slice_cut(&word, '.', &part);
		if (part.len == 0 || part.len > 3 || (parts == 0 && part.len != 1))
			return false;
		for (size_t i = 0; i < part.len; i++)
			if (!digit(part.ptr[i]))
				return false;
	}
	return parts == 3;
}

struct slice reply_split_dsn(struct slice text, int code, const char *fallback, char dsn[16])
{
	struct slice rest = slice_trim(text), word;

	snprintf(dsn, 16, "%s", fallback);
	if (slice_word(&rest, " \t", &word) && is_dsn(word))
		snprintf(dsn, 16, "%.*s", SLICE_FMT(word));
	else
		rest = text;
	if (dsn[0])
		dsn[0] = (char)('0' + code / 100);
	return slice_trim(rest);
}

int reply_split_code(struct slice *text)
{
	const char *t = text->ptr;

	if (text->len < 3 || (t[0] != '4' && t[0] != '5') || !digit(t[1]) || !digit(t[2]) ||
	    (text->len > 3 && t[3] != ' ' && t[3] != '\t'))
		return 0;
	*text = slice_trim(slice_sub(*text, 3, text->len));
	return (t[0] - '0') * 100 + (t[1] - '0') * 10 + (t[2] - '0');
}
