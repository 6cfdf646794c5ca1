/* SPDX-License-Identifier: ISC */
#include "tables/replacement.h"

#include "common/base/str.h"

struct replacement_part {
	struct replacement_part *next;
	struct slice text;
	unsigned group;          /* 0: the text */
};

static struct replacement_part *add_part(struct replacement_part ***tail, struct arena *arena)
{
	struct replacement_part *part = arena_alloc(arena, sizeof(*part));

	**tail = part;
	*tail = &part->next;
	return part;
}

/* The name at the front, as it stands or in brackets, with what closes it. */
static bool take_name(struct slice *rest, struct slice *name)
{
	size_t len = 0;

	if (rest->len > 0 && (rest->ptr[0] == '{' || rest->ptr[0] == '(')) {
		char close = rest->ptr[0] == '{' ? '}' : ')';

		*rest = slice_sub(*rest, 1, rest->len);
		return slice_cut(rest, close, name);
	}
	while (len < rest->len && (rest->ptr[len] == '_' || (rest->ptr[len] >= '0' && rest->ptr[len] <= '9') ||
				   ((rest->ptr[len] | 32) >= 'a' && (rest->ptr[len] | 32) <= 'z')))
		len++;
	*name = slice_sub(*rest, 0, len);
	*rest = slice_sub(*rest, len, rest->len);
	return true;
}

bool replacement_parse(struct slice text, struct arena *arena, struct replacement *out, struct err *err)
{
	struct slice rest = arena_slice(arena, text), head, name;
	struct replacement_part **tail = &out->first;
	uint64_t number;

	*out = (struct replacement){ 0 };
	while (rest.len > 0) {
		bool more = slice_cut(&rest, '$', &head);

		if (head.len > 0)
			add_part(&tail, arena)->text = head;
		if (!more)
			break;
		if (rest.len > 0 && rest.ptr[0] == '$') {
			add_part(&tail, arena)->text = slice_sub(rest, 0, 1);
			rest = slice_sub(rest, 1, rest.len);
			continue;
		}
		if (!take_name(&rest, &name) || name.len == 0)
			return err_set(err, ERR_SYNTAX, "\"$\" needs a number or a second \"$\": \"%.*s\"",
				       SLICE_FMT(slice_sub(text, 0, 80)));
		if (!slice_to_u64(name, &number))
			return err_set(err, ERR_SYNTAX, "non-numeric replacement index \"%.*s\"",
				       SLICE_FMT(slice_sub(name, 0, 80)));
		if (number < 1 || number > REPLACEMENT_GROUPS)
			return err_set(err, ERR_SYNTAX, "out of range replacement index \"%.*s\"",
				       SLICE_FMT(slice_sub(name, 0, 80)));
		add_part(&tail, arena)->group = (unsigned)number;
		out->groups = number > out->groups ? (unsigned)number : out->groups;
	}
	return true;
}

void replacement_of_text(struct slice text, struct arena *arena, struct replacement *out)
{
	struct replacement_part **tail = &out->first;

	*out = (struct replacement){ 0 };
	add_part(&tail, arena)->text = arena_slice(arena, text);
}

bool replacement_expand(const struct replacement *r, const struct slice *groups, struct arena *arena,
			struct slice *out, struct err *err)
{
	struct str text = { 0 };
	bool ok = true;

	for (const struct replacement_part *p = r->first; p && ok; p = p->next) {
		str_append(&text, p->group > 0 ? groups[p->group - 1] : p->text);
		if (text.len > REPLACEMENT_MAX)
			ok = err_set(err, ERR_LIMIT, "the result has more than %zu bytes", REPLACEMENT_MAX);
	}
	if (ok)
		*out = arena_slice(arena, str_slice(&text));
	str_free(&text);
	return ok;
}
