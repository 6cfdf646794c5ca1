/* SPDX-License-Identifier: ISC */
/* z= (RFC 6376 §3.5): the header as the signer saw it, for telling what was changed on the way. */
#include "authn/signature.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Quoted-printable of DKIM: white space does not count, =XX is a byte. */
static void decode(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		int high = c == '=' && i + 2 < text.len ? hex(text.ptr[i + 1]) : -1;
		int low = high >= 0 ? hex(text.ptr[i + 2]) : -1;

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (low >= 0) {
			str_append_byte(out, (char)(high * 16 + low));
			i += 2;
		} else {
			str_append_byte(out, c);
		}
	}
}

/* Is there a field that is this one, but for white space? */
static bool is_there(struct slice wanted, const struct canon_header *header)
{
	struct str a = { 0 }, b = { 0 };
	bool found = false;

	canon_field(CANON_RELAXED, wanted, &a);
	for (size_t i = 0; i < header->count && !found; i++) {
		str_clear(&b);
		canon_field(CANON_RELAXED, header->field[i].whole, &b);
		found = slice_eq(str_slice(&a), str_slice(&b));
	}
	str_free(&a);
	str_free(&b);
	return found;
}

bool signature_first_change(const struct signature *s, const struct canon_header *header, struct arena *arena,
			    struct slice *field)
{
	struct slice rest = s->z, piece;
	struct str copy = { 0 };
	bool more = rest.len > 0, changed = false;

	for (int count = 0; more && !changed && count < 200; count++) {
		more = slice_cut(&rest, '|', &piece);
		str_clear(&copy);
		decode(piece, &copy);
		changed = slice_find(str_slice(&copy), ':') > 0 && !is_there(str_slice(&copy), header);
	}
	if (changed)
		*field = arena_slice(arena, str_slice(&copy));
	str_free(&copy);
	return changed;
}
