/* SPDX-License-Identifier: ISC */
#include "tools/lib/trace.h"

#include <search.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "common/mail/message_file.h"

struct link {
	struct link *next;
	struct item *to;
};

struct item {
	char *name;                /* a queue ID, or "<message-id>": what has one is linked to it */
	bool chosen;
	struct link *links;
};

struct trace {
	char *what;
	void *tree;                /* items by name */
	struct item **items;
	size_t count, room;
	bool found, choosing_is_over;
};

/* --- lines --- */

bool trace_parse(struct slice line, struct trace_line *p)
{
	ptrdiff_t at = -1;
	struct slice rest, head, word;

	*p = (struct trace_line){ 0 };
	for (size_t i = 0; i + 4 < line.len && at < 0; i++)
		if (slice_starts(slice_sub(line, i, line.len), SLICE("]: ")))
			at = (ptrdiff_t)i;
	if (at < 0)
		return false;
	head = slice_sub(line, 0, (size_t)at);
	p->text = slice_sub(line, (size_t)at + 3, line.len);
	at = slice_rfind(head, ' ');
	if (at < 0)
		return false;
	p->program = slice_sub(head, (size_t)at + 1, head.len);
	p->time = slice_sub(head, 0, (size_t)at);
	/* "postfix/submission/smtpd[12" */
	if ((at = slice_rfind(p->program, '[')) < 0 || slice_find(p->program, '/') < 0)
		return false;
	p->program = slice_sub(p->program, 0, (size_t)at);
	p->program = slice_sub(p->program, (size_t)slice_rfind(p->program, '/') + 1, p->program.len);
	/* The host is no part of the time. */
	if ((at = slice_rfind(p->time, ' ')) > 0)
		p->time = slice_sub(p->time, 0, (size_t)at);
	rest = p->text;
	if (slice_cut(&rest, ':', &word) && rest.len > 0 && rest.ptr[0] == ' ' && word.len > 5 && message_id_valid(word) &&
	    !slice_eq(word, SLICE("NOQUEUE")) && !slice_eq(word, SLICE("warning"))) {
		p->id = word;
		p->text = slice_sub(rest, 1, rest.len);
	}
	return true;
}

/* What stands between `before` and `end`; empty: nothing does. */
static struct slice between(struct slice text, struct slice before, char end)
{
	for (size_t i = 0; i + before.len <= text.len; i++) {
		struct slice rest = slice_sub(text, i, text.len);
		ptrdiff_t at;

		if (!slice_starts(rest, before))
			continue;
		rest = slice_sub(rest, before.len, rest.len);
		at = slice_find(rest, end);
		return at < 0 ? rest : slice_sub(rest, 0, (size_t)at);
	}
	return SLICE_NONE;
}

/* --- what is known --- */

struct trace *trace_create(const char *what)
{
	struct trace *t = mem_alloc(sizeof(*t));

	t->what = mem_strdup(what);
	return t;
}

/* The tree's nodes go, what they point to is freed by itself. */
static void keep(void *item)
{
}

void trace_free(struct trace **trace)
{
	struct trace *t = *trace;

	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		for (struct link *l = t->items[i]->links, *next; l; l = next) {
			next = l->next;
			free(l);
		}
		free(t->items[i]->name);
		free(t->items[i]);
	}
	tdestroy(t->tree, keep);
	free(t->items);
	free(t->what);
	free(t);
	*trace = NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static struct item *item_of(struct trace *t, struct slice name)
{
	char *text = mem_slicedup(name);
	struct item wanted = { .name = text }, *item;
	struct item **found = tfind(&wanted, &t->tree, by_name);

	if (found) {
		free(text);
		return *found;
	}
	item = mem_alloc(sizeof(*item));
	item->name = text;
	(void)tsearch(item, &t->tree, by_name);
	if (t->count == t->room) {
		t->room = t->room ? 2 * t->room : 1024;
		t->items = mem_realloc(t->items, t->room * sizeof(struct item *));
	}
	t->items[t->count++] = item;
	return item;
}

static void add_link(struct item *from, struct item *to)
{
	struct link *l;

	for (l = from->links; l; l = l->next)
		if (l->to == to)
			return;
	l = mem_alloc(sizeof(*l));
	l->to = to;
	l->next = from->links;
	from->links = l;
}

static void tie(struct item *a, struct item *b)
{
	add_link(a, b);
	add_link(b, a);
}

static bool is_address(const struct trace *t, struct slice text, struct slice before)
{
	struct slice found = between(text, before, '>');

	return found.len > 0 && slice_eq_nocase(found, slice_of(t->what));
}

static bool is_meant(const struct trace *t, const struct trace_line *line)
{
	return is_address(t, line->text, SLICE("from=<")) || is_address(t, line->text, SLICE("to=<")) ||
	       is_address(t, line->text, SLICE("orig_to=<")) || slice_eq(line->id, slice_of(t->what)) ||
	       is_address(t, line->text, SLICE("message-id=<")) ||
	       (t->what[0] == '<' && slice_eq(between(line->text, SLICE("message-id="), ' '), slice_of(t->what)));
}

static void choose(struct item *item)
{
	/* By hand, as chains may be long: what is chosen hands on to what it is linked to. */
	struct item **stack = mem_alloc(sizeof(*stack));
	size_t count = 0, room = 1;

	item->chosen = true;
	stack[count++] = item;
	while (count > 0) {
		struct item *top = stack[--count];

		for (struct link *l = top->links; l; l = l->next) {
			if (l->to->chosen)
				continue;
			l->to->chosen = true;
			if (count == room) {
				room *= 2;
				stack = mem_realloc(stack, room * sizeof(struct item *));
			}
			stack[count++] = l->to;
		}
	}
	free(stack);
}

void trace_learn(struct trace *t, const struct trace_line *line)
{
	static const struct {
		struct slice before;
		char end;
	} links[] = { { SLICE("forwarded as "), ')' }, { SLICE("notification: "), ' ' }, { SLICE("queued as "), ')' } };
	struct item *item;
	struct slice other;

	if (line->id.len == 0)
		return;
	item = item_of(t, line->id);
	other = between(line->text, SLICE("message-id=<"), '>');
	if (other.len > 0) {
		char *name = mem_alloc(other.len + 3);

		(void)snprintf(name, other.len + 3, "<%.*s>", SLICE_FMT(other));
		tie(item, item_of(t, slice_of(name)));
		free(name);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		other = between(line->text, links[i].before, links[i].end);
		if (other.len > 5 && message_id_valid(other))
			tie(item, item_of(t, other));
	}
	if (is_meant(t, line)) {
		item->chosen = true;
		t->found = true;
	}
	if (t->choosing_is_over && item->chosen)
		choose(item);
}

void trace_choose(struct trace *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->items[i]->chosen)
			choose(t->items[i]);
	t->choosing_is_over = true;
}

bool trace_concerns(struct trace *t, const struct trace_line *line)
{
	if (line->id.len > 0)
		return item_of(t, line->id)->chosen;
	/* Refused before it had an ID. */
	return is_meant(t, line);
}

bool trace_found(const struct trace *t)
{
	return t->found;
}
