/* SPDX-License-Identifier: ISC */
#include "tables/lines.h"

#include <stdlib.h>

struct line_reader line_reader_of_file(FILE *file)
{
	return (struct line_reader){ .file = file };
}

struct line_reader line_reader_of_text(struct slice text)
{
	return (struct line_reader){ .rest = text };
}

void line_reader_end(struct line_reader *r)
{
	free(r->next);
	str_free(&r->text);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static bool physical_line(struct line_reader *r, struct slice *line)
{
	if (r->file) {
		ssize_t len = getline(&r->next, &r->next_size, r->file);

		r->failed = len < 0 && ferror(r->file);
		if (len < 0)
			return false;
		*line = slice_make(r->next, (size_t)len);
	} else {
		if (r->rest.len == 0)
			return false;
		slice_cut(&r->rest, '\n', line);
	}
	if (line->len > 0 && line->ptr[line->len - 1] == '\n')
		line->len--;
	return true;
}

/* The next line that counts; it may have been read already. */
static bool take(struct line_reader *r)
{
	while (!r->has_pending) {
		struct slice trimmed;

		if (!physical_line(r, &r->pending))
			return false;
		r->at++;
		trimmed = slice_trim(r->pending);
		r->has_pending = trimmed.len > 0 && trimmed.ptr[0] != '#';
	}
	return true;
}

bool line_reader_next(struct line_reader *r, struct slice *line)
{
	if (!take(r))
		return false;
	r->line = r->at;
	r->indented = is_space(r->pending.ptr[0]);
	str_clear(&r->text);
	do {
		str_append(&r->text, r->pending);
		r->has_pending = false;
	} while (take(r) && is_space(r->pending.ptr[0]));
	*line = str_slice(&r->text);
	while (line->len > 0 && is_space(line->ptr[line->len - 1]))
		line->len--;
	return !r->failed;
}

bool line_take_key(struct slice *line, struct slice *key)
{
	bool quoted = false;
	size_t at = 0;

	for (; at < line->len && (quoted || !is_space(line->ptr[at])); at++) {
		if (line->ptr[at] == '\\' && at + 1 < line->len)
			at++;
		else if (line->ptr[at] == '"')
			quoted = !quoted;
	}
	*key = slice_sub(*line, 0, at);
	*line = slice_trim(slice_sub(*line, at, line->len));
	return !quoted;
}
