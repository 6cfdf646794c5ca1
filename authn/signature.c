/* SPDX-License-Identifier: ISC */
#include "authn/signature.h"

#include <stdlib.h>

#include "authn/tags.h"

#define NAMES_MAX 1000 /* in h= */

/* --- tags --- */

static bool bad(struct err *err, const char *what)
{
	return err_set(err, ERR_SYNTAX, "%s", what);
}

static bool read_number(const struct tags *tags, const char *name, uint64_t *value, struct err *err)
{
	struct slice text = tags_get(tags, name);

	if (!text.ptr)
		return true;
	return (slice_to_u64(text, value) && text.len <= 76) ||
	       err_set(err, ERR_SYNTAX, "malformed %s=", name);
}

static bool read_bytes(const struct tags *tags, const char *name, struct arena *arena,
		       struct slice *value, struct err *err)
{
	struct str bytes = {0};
	struct slice text = tags_get(tags, name);
	bool ok = text.ptr && tags_base64(text, &bytes) && bytes.len > 0;

	*value = arena_slice(arena, str_slice(&bytes));
	str_free(&bytes);
	return ok || err_set(err, ERR_SYNTAX, text.ptr ? "malformed %s=" : "no %s=", name);
}

static bool read_form(struct slice word, enum canon *form)
{
	*form = slice_eq_nocase(word, SLICE("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
	return *form == CANON_RELAXED || slice_eq_nocase(word, SLICE("simple"));
}

static bool read_forms(const struct tags *tags, struct signature *s, struct err *err)
{
	struct slice rest = tags_get(tags, "c"), head;

	s->header_form = s->body_form = CANON_SIMPLE;
	if (!rest.ptr)
		return true;
	if (!slice_cut(&rest, '/', &head))
		return read_form(head, &s->header_form) || bad(err, "unknown c=");
	return (read_form(head, &s->header_form) && read_form(rest, &s->body_form)) ||
	       bad(err, "unknown c=");
}

static bool is_within(struct slice domain, struct slice parent)
{
	return slice_eq_nocase(domain, parent) ||
	       (domain.len > parent.len && slice_ends_nocase(domain, parent) &&
		domain.ptr[domain.len - parent.len - 1] == '.');
}

static bool read_identity(const struct tags *tags, struct arena *arena, struct signature *s,
			  struct err *err)
{
	struct slice text = tags_get(tags, "i");
	ptrdiff_t at = slice_rfind(text, '@');

	s->identity = slice_of(arena_printf(arena, "@%.*s", SLICE_FMT(s->domain)));
	if (!text.ptr)
		return true;
	if (at < 0 || !is_within(slice_sub(text, (size_t)at + 1, text.len), s->domain))
		return bad(err, "i= is not within d=");
	s->identity = text;
	return true;
}

/* Names, d= and s=, as DNS would have them. */
static bool read_names(const struct tags *tags, struct arena *arena, struct signature *s,
		       struct err *err)
{
	s->domain = authn_domain(arena, tags_get(tags, "d"));
	s->selector = authn_domain(arena, tags_get(tags, "s"));
	if (!authn_domain_full(s->domain) || slice_find(s->domain, ' ') >= 0)
		return bad(err, "no or malformed d=");
	return (authn_domain_valid(s->selector) && slice_find(s->selector, ' ') < 0) ||
	       bad(err, "no or malformed s=");
}

static bool read_message_tags(const struct tags *tags, struct arena *arena, struct signature *s,
			      struct err *err)
{
	struct slice q = tags_get(tags, "q");

	s->headers = tags_get(tags, "h");
	s->z = tags_get(tags, "z");
	if (!read_bytes(tags, "bh", arena, &s->bh, err) || !read_forms(tags, s, err) ||
	    !read_number(tags, "l", &s->length, err) || !read_number(tags, "x", &s->expires, err))
		return false;
	if (s->headers.len == 0)
		return bad(err, "no h=");
	if (s->bh.len != CANON_DIGEST && s->algorithm != DKIM_RSA_SHA1)
		return bad(err, "bh= is not as long as a SHA-256 hash");
	if (q.ptr && !tags_list_has(q, ':', "dns/txt") && !tags_list_has(q, ':', "dns"))
		return bad(err, "unknown q=");
	if (s->expires && s->time && s->expires < s->time)
		return bad(err, "x= lies before t=");
	return true;
}

bool signature_parse(enum signature_kind kind, const struct header_field *field,
		     struct arena *arena, struct signature *s, struct err *err)
{
	struct tags *tags = arena_alloc(arena, sizeof(*tags));
	struct slice a;

	*s = (struct signature){.kind = kind,
				.whole = field->whole,
				.length = UINT64_MAX,
				.body = -1,
				.algorithm = DKIM_UNKNOWN_ALGORITHM};
	if (!tags_parse(field->value, tags, err))
		return false;
	a = tags_get(tags, "a");
	s->algorithm = dkim_algorithm(a);
	if (!read_names(tags, arena, s, err))
		return false;
	if (kind == SIGNATURE_DKIM && !slice_eq(tags_get(tags, "v"), SLICE("1")))
		return bad(err, "no v=1");
	if (!a.ptr || s->algorithm == DKIM_UNKNOWN_ALGORITHM)
		return bad(err, "no or unknown a=");
	if (!read_bytes(tags, "b", arena, &s->b, err) || !read_number(tags, "t", &s->time, err))
		return false;
	s->b_raw = tags_find(tags, "b")->raw;
	if (kind != SIGNATURE_ARC_SEAL && !read_message_tags(tags, arena, s, err))
		return false;
	if (kind == SIGNATURE_DKIM)
		return read_identity(tags, arena, s, err);
	s->cv = tags_get(tags, "cv");
	if (kind == SIGNATURE_ARC_SEAL && tags_find(tags, "h"))
		return bad(err, "h= in a seal");
	return (read_number(tags, "i", &s->instance, err) && s->instance > 0) ||
	       bad(err, "no or malformed i=");
}

/* --- the bytes that are signed --- */

/* The next name of h=. */
static bool next_name(struct slice *list, bool *more, struct slice *name)
{
	if (!*more)
		return false;
	*more = slice_cut(list, ':', name);
	*name = slice_trim(*name);
	return true;
}

void signature_header_bytes(const struct signature *s, const struct canon_header *header,
			    size_t self, struct str *out)
{
	bool *used = mem_alloc(header->count + 1);
	struct slice list = s->headers, name;
	bool more = true;
	size_t names = 0;

	if (self < header->count)
		used[self] = true;
	while (next_name(&list, &more, &name) && names++ < NAMES_MAX)
		for (size_t i = header->count; i-- > 0;)
			if (!used[i] && slice_eq_nocase(header->field[i].name, name)) {
				used[i] = true;
				canon_field(s->header_form, header->field[i].whole, out);
				break;
			}
	canon_signature(s->header_form, s->whole, s->b_raw, out);
	free(used);
}

size_t signature_covers(const struct signature *s, const char *wanted)
{
	struct slice list = s->headers, name;
	bool more = true;
	size_t count = 0;

	while (next_name(&list, &more, &name))
		count += slice_eq_nocase(name, slice_of(wanted));
	return count;
}
