/* SPDX-License-Identifier: ISC */
#include "authn/tags.h"

#include "common/sasl/base64.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_tag_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alpha && (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
			return false;
	}
	return name.len > 0;
}

bool tags_parse(struct slice text, struct tags *tags, struct err *err)
{
	bool more = true;

	tags->count = 0;
	while (more) {
		struct slice piece, name;

		more = slice_cut(&text, ';', &piece);
		if (slice_trim(piece).len == 0) {
			if (more)
				return err_set(err, ERR_SYNTAX, "an empty tag");
			break;
		}
		if (!slice_cut(&piece, '=', &name) || !is_tag_name(slice_trim(name)))
			return err_set(err, ERR_SYNTAX, "no tag=value list");
		name = slice_trim(name);
		if (tags->count == TAGS_MAX)
			return err_set(err, ERR_LIMIT, "more than %d tags", TAGS_MAX);
		for (size_t i = 0; i < tags->count; i++)
			if (slice_eq(tags->tag[i].name, name))
				return err_set(err, ERR_SYNTAX, "tag %.*s= twice",
					       SLICE_FMT(slice_sub(name, 0, 20)));
		tags->tag[tags->count++] = (struct tag){name, slice_trim(piece), piece};
	}
	return tags->count > 0 || err_set(err, ERR_SYNTAX, "no tag=value list");
}

const struct tag *tags_find(const struct tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->count; i++)
		if (slice_eq(tags->tag[i].name, slice_of(name)))
			return &tags->tag[i];
	return NULL;
}

struct slice tags_get(const struct tags *tags, const char *name)
{
	const struct tag *tag = tags_find(tags, name);

	return tag ? tag->value : SLICE_NONE;
}

bool tags_list_has(struct slice list, char separator, const char *word)
{
	struct slice piece;
	bool more = true;

	while (more) {
		more = slice_cut(&list, separator, &piece);
		if (slice_eq_nocase(slice_trim(piece), slice_of(word)))
			return true;
	}
	return false;
}

void tags_squeeze(struct slice text, struct str *out)
{
	str_reserve(out, text.len);
	for (size_t i = 0; i < text.len; i++)
		if (!is_space(text.ptr[i]))
			str_append_byte(out, text.ptr[i]);
}

bool tags_base64(struct slice text, struct str *out)
{
	struct str plain = {0};
	bool ok;

	tags_squeeze(text, &plain);
	ok = base64_decode(str_slice(&plain), out);
	if (!ok && plain.len % 4) { /* some write it without its padding */
		while (plain.len % 4)
			str_append_byte(&plain, '=');
		ok = base64_decode(str_slice(&plain), out);
	}
	str_free(&plain);
	return ok;
}
