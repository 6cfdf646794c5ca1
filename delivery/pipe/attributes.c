/* SPDX-License-Identifier: ISC */
#include "common/base/str.h"
#include "delivery/lib/content.h"
#include "delivery/pipe/pipe.h"

static bool parse_flags(struct pipe_attributes *a, struct slice letters, struct err *err)
{
	static const struct { char letter; unsigned flag, content; } known[] = {
		{ 'B', 0, CONTENT_BLANK_LINE }, { 'D', PIPE_DELIVERED_TO, 0 }, { 'F', PIPE_FROM, 0 },
		{ 'O', PIPE_ORIGINAL_TO, 0 }, { 'R', PIPE_RETURN_PATH, 0 }, { 'X', PIPE_FINAL, 0 },
		{ 'h', PIPE_FOLD_DOMAIN, 0 }, { 'q', PIPE_QUOTE, 0 }, { 'u', PIPE_FOLD_USER, 0 },
		{ '.', 0, CONTENT_QUOTE_DOT }, { '>', 0, CONTENT_QUOTE_FROM },
	};

	for (size_t i = 0; i < letters.len; i++) {
		size_t k = 0;

		while (k < sizeof(known) / sizeof(known[0]) && known[k].letter != letters.ptr[i])
			k++;
		if (k == sizeof(known) / sizeof(known[0]))
			return err_set(err, ERR_SYNTAX, "flags=%.*s: '%c' is no flag", SLICE_FMT(letters), letters.ptr[i]);
		a->flags |= known[k].flag;
		a->content_flags |= known[k].content;
	}
	return true;
}

/* \n, \r, \033, \\ … */
static struct slice unescape(struct slice text, struct arena *arena)
{
	static const char names[] = "abfnrtv\\", bytes[] = "\a\b\f\n\r\t\v\\";
	struct str out = { 0 };

	for (size_t i = 0; i < text.len; i++) {
		const char *name;
		unsigned value = 0, digits = 0;

		if (text.ptr[i] != '\\' || i + 1 == text.len) {
			str_append_byte(&out, text.ptr[i]);
			continue;
		}
		while (digits < 3 && i + 1 < text.len && text.ptr[i + 1] >= '0' && text.ptr[i + 1] <= '7') {
			value = value * 8 + (unsigned)(text.ptr[++i] - '0');
			digits++;
		}
		if (digits > 0)
			str_append_byte(&out, (char)value);
		else if ((name = strchr(names, text.ptr[++i])))
			str_append_byte(&out, bytes[name - names]);
		else
			str_append_byte(&out, text.ptr[i]);
	}
	text = arena_slice(arena, str_slice(&out));
	str_free(&out);
	return text;
}

static void parse_user(struct pipe_attributes *a, struct slice value, struct arena *arena)
{
	struct slice user;

	if (slice_cut(&value, ':', &user) && value.len > 0)
		a->group = arena_cstr(arena, value);
	a->user = arena_cstr(arena, user);
}

static bool parse_one(struct pipe_attributes *a, struct slice name, struct slice value, struct arena *arena,
		      struct err *err)
{
	const char *text = arena_cstr(arena, value);

	if (slice_eq(name, SLICE("user")))
		parse_user(a, value, arena);
	else if (slice_eq(name, SLICE("flags")))
		return parse_flags(a, value, err);
	else if (slice_eq(name, SLICE("directory")))
		a->directory = text;
	else if (slice_eq(name, SLICE("chroot")))
		a->chroot = text;
	else if (slice_eq(name, SLICE("null_sender")))
		a->null_sender = text;
	else if (slice_eq(name, SLICE("eol")))
		a->eol = unescape(value, arena);
	else if (slice_eq(name, SLICE("size")))
		return slice_to_u64(value, &a->size) || err_set(err, ERR_SYNTAX, "size=%s: expected a number", text);
	else
		return err_set(err, ERR_SYNTAX, "%.*s=%s: no attribute of pipe", SLICE_FMT(name), text);
	return true;
}

bool pipe_attributes_parse(struct pipe_attributes *a, const char *const *argv, struct arena *arena, struct err *err)
{
	size_t i = 0;

	*a = (struct pipe_attributes){ .null_sender = "MAILER-DAEMON", .eol = SLICE("\n") };
	for (; argv[i] && strncmp(argv[i], "argv=", 5) != 0; i++) {
		struct slice value = slice_of(argv[i]), name;

		if (strcmp(argv[i], "-v") == 0)
			continue;
		if (!slice_cut(&value, '=', &name))
			return err_set(err, ERR_SYNTAX, "\"%s\": expected attribute=value", argv[i]);
		if (!parse_one(a, name, value, arena, err))
			return false;
	}
	if (!a->user || !a->user[0])
		return err_set(err, ERR_SYNTAX, "no user= attribute: whose rights shall the program have?");
	if (!argv[i] || (!argv[i][5] && !argv[i + 1]))
		return err_set(err, ERR_SYNTAX, "no argv= attribute: which program?");
	size_t count = 0;

	while (argv[i + count])
		count++;
	const char **words = arena_alloc(arena, (count + 1) * sizeof(*words));

	/* "argv=/bin/x y" and "argv= /bin/x y" */
	words[0] = argv[i] + 5;
	for (size_t k = 1; k < count; k++)
		words[k] = argv[i + k];
	a->argv = words[0][0] ? words : words + 1;
	return true;
}
