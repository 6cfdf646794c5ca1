/* SPDX-License-Identifier: ISC */
#include "authn/canon.h"

#include <stdlib.h>

#include "common/base/log.h"

#define FORMS_MAX   16
#define OUTPUT_SIZE 4096

/* --- headers --- */

void canon_header_read(struct slice header, struct arena *arena, struct canon_header *fields)
{
	struct slice rest = header;
	struct header_field f;
	size_t room = 0;

	*fields = (struct canon_header){0};
	while (header_next(&rest, &f)) {
		if (fields->count == CANON_FIELDS_MAX)
			return;
		if (fields->count == room) {
			struct header_field *more =
			    arena_alloc(arena, (room ? room * 2 : 64) * sizeof(f));

			if (room)
				memcpy(more, fields->field, room * sizeof(f));
			fields->field = more;
			room = room ? room * 2 : 64;
		}
		if (f.name.len > 0)
			fields->field[fields->count++] = f;
	}
	fields->complete = rest.len == 0 || rest.ptr[0] == '\r' || rest.ptr[0] == '\n';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends the part in relaxed form; `gap`: white space stands before what comes next. */
static void relax(struct slice part, bool *gap, bool *started, struct str *out)
{
	for (size_t i = 0; i < part.len; i++) {
		if (is_space(part.ptr[i])) {
			*gap = true;
			continue;
		}
		if (*gap && *started)
			str_append_byte(out, ' ');
		*gap = false;
		*started = true;
		str_append_byte(out, part.ptr[i]);
	}
}

static void canon_parts(enum canon form, struct slice head, struct slice tail, struct str *out)
{
	bool gap = false, started = false;
	ptrdiff_t colon = slice_find(head, ':');

	if (form == CANON_SIMPLE || colon < 0) {
		str_append(out, head);
		str_append(out, tail);
		return;
	}
	str_reserve(out, head.len + tail.len);
	str_append_lower(out, slice_trim(slice_sub(head, 0, (size_t)colon)));
	str_append_byte(out, ':');
	relax(slice_sub(head, (size_t)colon + 1, head.len), &gap, &started, out);
	relax(tail, &gap, &started, out);
}

static struct slice without_end(struct slice whole)
{
	if (whole.len > 0 && whole.ptr[whole.len - 1] == '\n')
		whole.len--;
	if (whole.len > 0 && whole.ptr[whole.len - 1] == '\r')
		whole.len--;
	return whole;
}

void canon_field(enum canon form, struct slice whole, struct str *out)
{
	canon_parts(form, without_end(whole), SLICE_NONE, out);
	str_append_text(out, "\r\n");
}

void canon_signature(enum canon form, struct slice whole, struct slice b, struct str *out)
{
	size_t from = (size_t)(b.ptr - whole.ptr);

	whole = without_end(whole);
	canon_parts(form, slice_sub(whole, 0, from), slice_sub(whole, from + b.len, whole.len),
		    out);
}

/* --- bodies --- */

struct form {
	enum canon form;
	uint64_t limit, length; /* octets to be hashed; octets so far */
	uint64_t empty_lines;   /* at the end so far */
	bool gap, cr, started;
	EVP_MD_CTX *hash;
	size_t used;
	char output[OUTPUT_SIZE];
	uint8_t digest[CANON_DIGEST];
};

struct canon_bodies {
	struct form *form[FORMS_MAX];
	int count;
};

struct canon_bodies *canon_bodies_create(void)
{
	return mem_alloc(sizeof(struct canon_bodies));
}

void canon_bodies_free(struct canon_bodies **bodies)
{
	if (!*bodies)
		return;
	for (int i = 0; i < (*bodies)->count; i++) {
		EVP_MD_CTX_free((*bodies)->form[i]->hash);
		free((*bodies)->form[i]);
	}
	free(*bodies);
	*bodies = NULL;
}

int canon_bodies_want(struct canon_bodies *bodies, enum canon form, uint64_t limit)
{
	struct form *f;

	for (int i = 0; i < bodies->count; i++)
		if (bodies->form[i]->form == form && bodies->form[i]->limit == limit)
			return i;
	if (bodies->count == FORMS_MAX)
		return -1;
	f = mem_alloc(sizeof(*f));
	f->form = form;
	f->limit = limit;
	f->hash = EVP_MD_CTX_new();
	if (!f->hash || EVP_DigestInit_ex(f->hash, EVP_sha256(), NULL) != 1)
		log_fatal("SHA-256 cannot be had");
	bodies->form[bodies->count] = f;
	return bodies->count++;
}

static void flush(struct form *f)
{
	EVP_DigestUpdate(f->hash, f->output, f->used);
	f->used = 0;
}

static void emit(struct form *f, const char *data, size_t len)
{
	uint64_t left = f->limit > f->length ? f->limit - f->length : 0;

	f->started = true;
	f->length += len;
	len = len < left ? len : (size_t)left;
	if (len > OUTPUT_SIZE - f->used)
		flush(f);
	if (len > OUTPUT_SIZE) {
		EVP_DigestUpdate(f->hash, data, len);
		return;
	}
	memcpy(f->output + f->used, data, len);
	f->used += len;
}

/* What was held back: it is not at the end of the line or of the body after all. */
static void emit_held(struct form *f)
{
	for (; f->empty_lines > 0; f->empty_lines--)
		emit(f, "\r\n", 2);
	if (f->gap)
		emit(f, " ", 1);
	f->gap = false;
}

static void emit_text(struct form *f, const char *data, size_t len)
{
	emit_held(f);
	emit(f, data, len);
}

static size_t plain_run(const struct form *f, const char *at, const char *end)
{
	const char *c = at;

	if (f->form == CANON_SIMPLE) {
		c = memchr(at, '\r', (size_t)(end - at));
		return (size_t)((c ? c : end) - at);
	}
	while (c < end && *c != '\r' && *c != ' ' && *c != '\t')
		c++;
	return (size_t)(c - at);
}

static void feed_form(struct form *f, struct slice piece)
{
	const char *at = piece.ptr, *end = piece.ptr + piece.len;

	while (at < end) {
		size_t run;

		if (f->cr) {
			f->cr = false;
			if (*at == '\n') {
				f->gap = false;
				f->empty_lines++;
				at++;
				continue;
			}
			emit_text(f, "\r", 1);
		}
		run = plain_run(f, at, end);
		if (run > 0) {
			emit_text(f, at, run);
			at += run;
		} else {
			f->cr = *at == '\r';
			f->gap = f->gap || !f->cr;
			at++;
		}
	}
}

void canon_bodies_feed(struct canon_bodies *bodies, struct slice piece)
{
	for (int i = 0; i < bodies->count && piece.len > 0; i++)
		feed_form(bodies->form[i], piece);
}

void canon_bodies_finish(struct canon_bodies *bodies)
{
	for (int i = 0; i < bodies->count; i++) {
		struct form *f = bodies->form[i];

		if (f->cr)
			emit_text(f, "\r", 1);
		/* Empty lines at the end go; a last line without CRLF gets it; the empty simple
		 * body is CRLF. */
		if (f->started || f->form == CANON_SIMPLE)
			emit(f, "\r\n", 2);
		flush(f);
		EVP_DigestFinal_ex(f->hash, f->digest, NULL);
	}
}

void canon_bodies_digest(const struct canon_bodies *bodies, int index, uint8_t digest[CANON_DIGEST],
			 uint64_t *length)
{
	memcpy(digest, bodies->form[index]->digest, CANON_DIGEST);
	*length = bodies->form[index]->length;
}
