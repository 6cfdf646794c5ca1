/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/header_checks.h"

#include "common/base/log.h"
#include "common/mail/header.h"

#define HEADER_MAX (1u << 20)    /* a header of more than this goes as it is */
#define SHOWN      200           /* bytes of a field in the log */

struct checking {
	struct table_list *checks;
	struct slice queue_id;
	struct arena *arena;
	struct str *out;
	bool changed;
};

/* As patterns see it: lines with LF between them, none at the end. */
static struct slice key_of(const struct header_field *f, struct arena *arena)
{
	struct str key = { 0 };
	struct slice whole = slice_trim(f->whole);
	struct slice made;

	for (size_t i = 0; i < whole.len; i++)
		if (whole.ptr[i] != '\r')
			str_append_byte(&key, whole.ptr[i]);
	made = arena_slice(arena, str_slice(&key));
	str_free(&key);
	return made;
}

static void put_line(struct checking *c, struct slice text)
{
	str_append(c->out, text);
	str_append(c->out, SLICE("\r\n"));
	c->changed = true;
}

static void note(const struct checking *c, const char *action, struct slice key, struct slice text)
{
	log_info("%.*s: %s: header %.*s%s%.*s", SLICE_FMT(c->queue_id), action, SLICE_FMT(slice_sub(key, 0, SHOWN)),
		 text.len > 0 ? ": " : "", SLICE_FMT(text));
}

/* A text that would end the header, or is no field of one, is not put into it. */
static bool is_field(struct slice text)
{
	struct slice rest = slice_trim(text);
	struct header_field f;

	return slice_find(text, '\n') < 0 && header_next(&rest, &f) && f.name.len > 0;
}

/* True: the field itself still goes out. */
static bool act(struct checking *c, struct slice key, struct slice value)
{
	struct slice text = value, action;

	if (!slice_word(&text, " \t", &action))
		return true;
	text = slice_trim(text);
	if (slice_eq_nocase(action, SLICE("DUNNO")) || slice_eq_nocase(action, SLICE("OK")))
		return true;
	if (slice_eq_nocase(action, SLICE("IGNORE")) || slice_eq_nocase(action, SLICE("STRIP"))) {
		if (slice_eq_nocase(action, SLICE("STRIP")))
			note(c, "strip", key, text);
		c->changed = true;
		return false;
	}
	if (slice_eq_nocase(action, SLICE("INFO")) || slice_eq_nocase(action, SLICE("WARN"))) {
		note(c, slice_eq_nocase(action, SLICE("INFO")) ? "info" : "warning", key, text);
		return true;
	}
	if ((slice_eq_nocase(action, SLICE("REPLACE")) || slice_eq_nocase(action, SLICE("PREPEND"))) && is_field(text)) {
		bool replace = slice_eq_nocase(action, SLICE("REPLACE"));

		note(c, replace ? "replace" : "prepend", key, text);
		put_line(c, text);
		return !replace;
	}
	log_warning("%.*s: smtp_header_checks: \"%.*s\" cannot be done here", SLICE_FMT(c->queue_id),
		    SLICE_FMT(slice_sub(value, 0, SHOWN)));
	return true;
}

static bool check_fields(struct checking *c, struct slice *block, struct err *err)
{
	struct header_field f;

	while (header_next(block, &f)) {
		struct slice key = key_of(&f, c->arena), value;
		bool goes = true;

		if (f.name.len > 0) {
			enum table_result result = table_list_lookup(c->checks, key, c->arena, &value, err);

			if (result == TABLE_ERROR)
				return false;
			goes = result == TABLE_NOT_FOUND || act(c, key, value);
		}
		if (goes)
			str_append(c->out, f.whole);
	}
	return true;
}

bool smtp_header_checks_apply(struct table_list *checks, struct content *content, const struct delivery_job *job,
			      struct arena *arena, struct err *err)
{
	struct str out = { 0 };
	struct checking c = { checks, job->queue_id, arena, &out, false };
	struct slice block = content->header, own;
	bool ok;

	if (content->own_header > HEADER_MAX || content->header.len > HEADER_MAX)
		return true;
	if (!content_read(content, content->own_header, arena, &own, err))
		return false;
	ok = check_fields(&c, &block, err);
	str_append(&out, block);
	ok = ok && check_fields(&c, &own, err);
	str_append(&out, own);
	if (ok && c.changed)
		content_replace_header(content, arena_slice(arena, str_slice(&out)), content->own_header);
	str_free(&out);
	return ok;
}
