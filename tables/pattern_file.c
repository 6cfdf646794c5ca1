/* SPDX-License-Identifier: ISC */
#include "tables/pattern_file.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tables/lines.h"
#include "tables/watch.h"

struct rule {
	void *compiled;
	bool negated, is_if;
	int line;
	size_t end;              /* of an if: the rule behind its endif */
	struct replacement result;
};

/* An if that is open while the file is read. */
struct open_if {
	struct open_if *outer;
	size_t rule;
	int line;
	bool broken;             /* what stands in it is left out */
};

struct pattern_file {
	const struct pattern_kind *kind;
	char *path;
	struct arena *arena;
	struct rule *rules;
	size_t count, room;
	unsigned problems;
	struct file_watch watch;
};

/* --- reading --- */

static void complain(struct pattern_file *f, int line, const char *text)
{
	log_warning("%s map %s, line %d: %s", f->kind->name, f->path, line, text);
	f->problems++;
}

static bool is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

bool pattern_cut_delimited(struct slice *text, struct pattern_text *out, struct err *err)
{
	size_t at = 1, flags;

	if (text->len == 0 || is_letter_or_digit(text->ptr[0]) || text->ptr[0] == ' ' || text->ptr[0] == '\t')
		return err_set(err, ERR_SYNTAX, "expected /pattern/flags");
	while (at < text->len && text->ptr[at] != text->ptr[0])
		at += text->ptr[at] == '\\' ? 2 : 1;
	if (at >= text->len)
		return err_set(err, ERR_SYNTAX, "no closing delimiter \"%c\"", text->ptr[0]);
	out->pattern = slice_sub(*text, 1, at - 1);
	for (flags = at + 1; flags < text->len && text->ptr[flags] != ' ' && text->ptr[flags] != '\t'; flags++)
		;
	out->flags = slice_sub(*text, at + 1, flags - at - 1);
	*text = slice_sub(*text, flags, text->len);
	return true;
}

/* "if" or "endif", in any case; takes it off. */
static bool take_word(struct slice *text, struct slice word)
{
	if (!slice_starts_nocase(*text, word) || (text->len > word.len && is_letter_or_digit(text->ptr[word.len])))
		return false;
	*text = slice_trim(slice_sub(*text, word.len, text->len));
	return true;
}

static struct rule *add_rule(struct pattern_file *f)
{
	if (f->count == f->room) {
		f->room = f->room ? f->room * 2 : 16;
		f->rules = mem_realloc(f->rules, f->room * sizeof(*f->rules));
	}
	f->rules[f->count] = (struct rule){ 0 };
	return &f->rules[f->count++];
}

static bool check_result(struct pattern_file *f, struct rule *r, struct slice text, struct err *err)
{
	if (r->is_if) {
		if (text.len > 0)
			complain(f, r->line, "what stands behind the pattern of an if is left out");
		return true;
	}
	if (text.len == 0 && !f->kind->substitutes)
		return err_set(err, ERR_SYNTAX, "no lookup result");
	if (text.len == 0)
		complain(f, r->line, "no replacement text: using empty string");
	if (!f->kind->substitutes) {
		replacement_of_text(text, f->arena, &r->result);
		return true;
	}
	if (!replacement_parse(text, f->arena, &r->result, err))
		return false;
	return !(r->negated && r->result.groups > 0) ||
	       err_set(err, ERR_SYNTAX, "$number found in negative match replacement text");
}

/* [!] pattern result.  False: the rule is left out. */
static bool read_rule(struct pattern_file *f, struct rule *r, struct slice text, struct err *err)
{
	struct pattern_text pattern = { 0 };
	unsigned groups = 0;

	for (; text.len > 0 && text.ptr[0] == '!'; text = slice_trim(slice_sub(text, 1, text.len)))
		r->negated = !r->negated;
	if (!f->kind->cut(&text, &pattern, err) || !check_result(f, r, slice_trim(text), err))
		return false;
	r->compiled = f->kind->compile(&pattern, r->result.groups, &groups, err);
	if (!r->compiled)
		return false;
	return r->result.groups <= groups ||
	       err_set(err, ERR_SYNTAX, "out of range replacement index \"%u\"", r->result.groups);
}

static void read_if(struct pattern_file *f, struct open_if **inner, int line, bool left_out)
{
	struct open_if *new = mem_alloc(sizeof(*new));

	*new = (struct open_if){ *inner, f->count - 1, line, left_out };
	*inner = new;
}

static void end_if(struct pattern_file *f, struct open_if **inner)
{
	struct open_if *ended = *inner;

	if (!ended->broken)
		f->rules[ended->rule].end = f->count;
	*inner = ended->outer;
	free(ended);
}

static void read_line(struct pattern_file *f, struct slice text, int line, struct open_if **inner)
{
	bool broken = *inner && (*inner)->broken, is_if;
	struct err err = { 0 };
	struct rule *r;

	if (take_word(&text, SLICE("endif"))) {
		if (text.len > 0)
			complain(f, line, "what stands behind endif is left out");
		if (*inner)
			end_if(f, inner);
		else
			complain(f, line, "endif without if is left out");
		return;
	}
	is_if = take_word(&text, SLICE("if"));
	if (!broken) {
		r = add_rule(f);
		r->line = line;
		r->is_if = is_if;
		if (!read_rule(f, r, text, &err)) {
			if (r->compiled)
				f->kind->free(r->compiled);
			f->count--;
			err_prefix(&err, is_if ? "this if and all up to its endif is left out" : "this rule is left out");
			complain(f, line, err.text);
			broken = true;
		}
	}
	if (is_if)
		read_if(f, inner, line, broken);
}

struct pattern_file *pattern_file_read(const struct pattern_kind *kind, const char *path, struct slice text)
{
	struct pattern_file *f = mem_alloc(sizeof(*f));
	struct line_reader reader = line_reader_of_text(text);
	struct open_if *inner = NULL;
	struct slice line;

	f->kind = kind;
	f->path = mem_strdup(path);
	f->arena = arena_create(0);
	f->watch.fd = -1;
	while (line_reader_next(&reader, &line)) {
		if (reader.indented)
			complain(f, reader.line, "the line goes on with white space, but there is nothing before it: left out");
		else
			read_line(f, line, reader.line, &inner);
	}
	while (inner) {
		complain(f, inner->line, "if without endif");
		end_if(f, &inner);
	}
	line_reader_end(&reader);
	return f;
}

struct pattern_file *pattern_file_open(const struct pattern_kind *kind, const char *path, struct err *err)
{
	struct file_watch watch;
	struct pattern_file *f = NULL;
	struct str text = { 0 };

	if (!file_watch_open(&watch, path, err))
		return NULL;
	if (file_watch_read(&watch, &text, err)) {
		f = pattern_file_read(kind, path, str_slice(&text));
		f->watch = watch;
	} else {
		file_watch_close(&watch);
	}
	str_free(&text);
	return f;
}

void pattern_file_close(void *file)
{
	struct pattern_file *f = file;

	for (size_t i = 0; i < f->count; i++)
		f->kind->free(f->rules[i].compiled);
	file_watch_close(&f->watch);
	arena_free(&f->arena);
	free(f->rules);
	free(f->path);
	free(f);
}

unsigned pattern_file_problems(const struct pattern_file *f)
{
	return f->problems;
}

bool pattern_file_changed(void *file)
{
	return file_watch_changed(&((struct pattern_file *)file)->watch);
}

/* --- asking --- */

enum table_result pattern_file_lookup(void *file, struct slice key, struct arena *arena, struct slice *value,
				      struct err *err)
{
	const struct pattern_file *f = file;
	struct pattern_match match = { .key = arena_slice(arena, key) };

	if (f->kind->prepare && !f->kind->prepare(&match))
		return TABLE_NOT_FOUND;
	for (size_t i = 0; i < f->count;) {
		const struct rule *r = &f->rules[i];
		enum pattern_outcome matched;

		match.wanted = r->result.groups;
		matched = f->kind->match(r->compiled, &match, err);
		if (matched == PATTERN_FAILED) {
			err_prefix(err, "line %d", r->line);
			return TABLE_ERROR;
		}
		bool applies = matched == (r->negated ? PATTERN_NO : PATTERN_YES);

		if (applies && !r->is_if) {
			if (replacement_expand(&r->result, match.groups, arena, value, err))
				return TABLE_FOUND;
			err_prefix(err, "line %d", r->line);
			return TABLE_ERROR;
		}
		i = r->is_if && !applies ? r->end : i + 1;
	}
	return TABLE_NOT_FOUND;
}
