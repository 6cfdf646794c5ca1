/* SPDX-License-Identifier: ISC */
#include "tools/lib/message_keys.h"

#include <stdlib.h>

#include "common/base/str.h"

#define DEPTH_MAX 100

enum state { IN_HEADERS, IN_BODY };

struct reader {
	const struct message_keys *keys;
	enum state state;
	struct str header;               /* collected so far */
	/* Of the part that the headers are of. */
	bool attached_message;
	struct str boundary;
	/* Of the parts around: innermost last. */
	struct str *boundaries;
	size_t depth;
};

static void give(const struct reader *r, struct slice key)
{
	r->keys->on_key(key, r->keys->context);
}

/* The value of `name` in "type/subtype; name=value". */
static bool find_parameter(struct slice header, struct slice name, struct slice *value)
{
	struct slice part;

	while (slice_cut(&header, ';', &part), header.len > 0 || part.len > 0) {
		struct slice rest = slice_trim(part);

		if (!slice_starts_nocase(rest, name))
			continue;
		rest = slice_trim(slice_sub(rest, name.len, rest.len));
		if (rest.len == 0 || rest.ptr[0] != '=')
			continue;
		*value = slice_trim(slice_sub(rest, 1, rest.len));
		if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
			*value = slice_sub(*value, 1, value->len - 2);
		return true;
	}
	return false;
}

static void note_content_type(struct reader *r, struct slice header)
{
	static const struct slice name = { "content-type:", 13 };
	struct slice type, boundary;

	if (!slice_starts_nocase(header, name))
		return;
	type = slice_trim(slice_sub(header, name.len, header.len));
	r->attached_message = slice_starts_nocase(type, SLICE("message/rfc822")) ||
			      slice_starts_nocase(type, SLICE("message/global"));
	str_clear(&r->boundary);
	if (slice_starts_nocase(type, SLICE("multipart/")) && find_parameter(type, SLICE("boundary"), &boundary))
		str_append(&r->boundary, boundary);
}

static void end_header(struct reader *r)
{
	if (r->header.len == 0)
		return;
	if (r->keys->headers)
		give(r, str_slice(&r->header));
	if (r->keys->mime)
		note_content_type(r, str_slice(&r->header));
	str_clear(&r->header);
}

static void start_part(struct reader *r)
{
	r->state = IN_HEADERS;
	r->attached_message = false;
	str_clear(&r->boundary);
}

static void end_headers(struct reader *r)
{
	end_header(r);
	r->state = IN_BODY;
	if (r->attached_message) {
		start_part(r);
	} else if (r->boundary.len > 0 && r->depth < DEPTH_MAX) {
		r->boundaries = mem_realloc(r->boundaries, (r->depth + 1) * sizeof(*r->boundaries));
		r->boundaries[r->depth] = (struct str){ 0 };
		str_append(&r->boundaries[r->depth++], str_slice(&r->boundary));
	}
}

/* "--boundary" of a part around begins the next one; "--boundary--" ends the part around. */
static bool is_boundary(struct reader *r, struct slice line)
{
	if (!slice_starts(line, SLICE("--")))
		return false;
	for (size_t i = r->depth; i-- > 0;) {
		struct slice rest = slice_sub(line, 2, line.len), name = str_slice(&r->boundaries[i]);

		if (!slice_starts(rest, name))
			continue;
		rest = slice_sub(rest, name.len, rest.len);
		bool last = slice_starts(rest, SLICE("--"));

		for (size_t keep = last ? i : i + 1; r->depth > keep;)
			str_free(&r->boundaries[--r->depth]);
		end_header(r);
		if (last)
			r->state = IN_BODY;
		else
			start_part(r);
		return true;
	}
	return false;
}

/* "name:" */
static bool is_header(struct slice line)
{
	ptrdiff_t colon = slice_find(line, ':');

	for (ptrdiff_t i = 0; i < colon; i++)
		if (line.ptr[i] <= ' ' || line.ptr[i] > '~')
			return slice_trim(slice_sub(line, (size_t)i, (size_t)(colon - i))).len == 0 && i > 0;
	return colon > 0;
}

static void on_line(struct reader *r, struct slice line)
{
	if (is_boundary(r, line)) {
		if (r->keys->body)
			give(r, line);
		return;
	}
	if (r->state == IN_HEADERS) {
		bool goes_on = line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');

		if (goes_on && r->header.len > 0) {
			str_append_byte(&r->header, '\n');
			str_append(&r->header, line);
			return;
		}
		end_header(r);
		if (is_header(line)) {
			str_append(&r->header, line);
			return;
		}
		end_headers(r);
		/* The empty line between belongs to neither. */
		if (line.len == 0)
			return;
	}
	if (r->keys->body)
		give(r, line);
}

bool message_keys_read(const struct message_keys *keys, FILE *file)
{
	struct reader r = { .keys = keys };
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, file)) >= 0) {
		if (len > 0 && line[len - 1] == '\n')
			len--;
		if (len > 0 && line[len - 1] == '\r')
			len--;
		on_line(&r, slice_make(line, (size_t)len));
	}
	end_header(&r);
	for (size_t i = 0; i < r.depth; i++)
		str_free(&r.boundaries[i]);
	free(r.boundaries);
	str_free(&r.boundary);
	str_free(&r.header);
	free(line);
	return !ferror(file);
}
