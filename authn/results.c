/* SPDX-License-Identifier: ISC */
#include "authn/results.h"

#include "common/mail/address.h"

#define B_SHOWN    8 /* characters of b=, to tell signatures apart */
#define DETAIL_MAX 200

/* --- text that is safe in a header --- */

/* In a comment: no parentheses, backslashes, control characters. */
static void put_comment(struct str *out, struct slice text)
{
	bool utf8 = address_valid_utf8(text);

	str_append_text(out, " (");
	for (size_t i = 0; i < text.len && i < DETAIL_MAX; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool bad =
		    c < ' ' || c == 127 || c == '(' || c == ')' || c == '\\' || (c > 127 && !utf8);

		str_append_byte(out, bad ? '?' : (char)c);
	}
	str_append_byte(out, ')');
}

static bool is_token(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c <= ' ' || c >= 127 || strchr("()<>,;:\\\"/[]?=", c))
			return false;
	}
	return text.len > 0;
}

/* A value, or what follows '@' in it: as it is, or quoted. */
static void put_value(struct str *out, struct slice text)
{
	text = slice_sub(text, 0, DETAIL_MAX);
	if (is_token(text)) {
		str_append(out, text);
		return;
	}
	str_append_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '"' || c == '\\')
			str_append_byte(out, '\\');
		str_append_byte(out, c < ' ' || c == 127 ? '?' : (char)c);
	}
	str_append_byte(out, '"');
}

static void put_property(struct str *out, const char *name, struct slice value)
{
	str_printf(out, " %s=", name);
	put_value(out, value);
}

/* --- the field --- */

static void put_spf(const struct results *r, struct str *out)
{
	str_printf(out, ";\r\n\tspf=%s", spf_result_text(r->spf->result));
	put_comment(out, r->spf->reason);
	put_property(out, r->sender.len ? "smtp.mailfrom" : "smtp.helo",
		     r->sender.len ? r->sender : r->helo);
}

static void put_signature(const struct dkim_signature *d, struct str *out)
{
	struct str note = {0};

	str_printf(out, ";\r\n\tdkim=%s", dkim_result_text(d->result));
	if (d->bits > 0)
		str_printf(&note, "%d-bit key", d->bits);
	if (d->reason)
		str_printf(&note, "%s%s", note.len ? ", " : "", d->reason);
	if (d->testing)
		str_printf(&note, "%sthe domain is testing", note.len ? ", " : "");
	if (note.len > 0)
		put_comment(out, str_slice(&note));
	str_free(&note);
	if (d->s.domain.len == 0)
		return;
	put_property(out, "header.d", d->s.domain);
	if (d->s.identity.len > 0)
		put_property(out, "header.i", d->s.identity);
	if (d->s.selector.len > 0)
		put_property(out, "header.s", d->s.selector);
	str_printf(out, "\r\n\t header.a=%s", dkim_algorithm_text(d->s.algorithm));
	if (d->s.b_raw.len > 0)
		put_property(out, "header.b", slice_sub(slice_trim(d->s.b_raw), 0, B_SHOWN));
}

static void put_dkim(const struct results *r, struct str *out)
{
	if (r->dkim->count == 0)
		str_append_text(out, ";\r\n\tdkim=none (no signature)");
	for (size_t i = 0; i < r->dkim->count; i++)
		put_signature(&r->dkim->signature[i], out);
}

static void put_arc(const struct results *r, struct str *out)
{
	const struct arc_answer *a = r->arc;

	if (a->result == ARC_NONE)
		return;
	str_printf(out, ";\r\n\tarc=%s", arc_result_text(a->result));
	if (a->reason)
		put_comment(out, slice_of(a->reason));
	else if (a->count > 0)
		put_property(out, "header.oldest-pass", SLICE("0"));
}

static void put_dmarc(const struct results *r, struct str *out)
{
	const struct dmarc_answer *a = r->dmarc;
	struct str note = {0};

	str_printf(out, ";\r\n\tdmarc=%s", dmarc_result_text(a->result));
	str_append_text(&note, a->reason ? a->reason : "");
	if (a->record_domain.len > 0)
		str_printf(&note, "; p=%s", dmarc_policy_text(a->policy));
	if (r->dmarc_override)
		str_printf(&note, "; %s", r->dmarc_override);
	put_comment(out, str_slice(&note));
	str_free(&note);
	if (a->domain.len > 0)
		put_property(out, "header.from", a->domain);
}

void results_text(const struct results *r, struct str *out)
{
	str_append_text(out, r->authserv_id);
	if (r->spf)
		put_spf(r, out);
	if (r->dkim)
		put_dkim(r, out);
	if (r->arc)
		put_arc(r, out);
	if (r->dmarc)
		put_dmarc(r, out);
	if (!r->spf && !r->dkim && !r->arc && !r->dmarc)
		str_append_text(out, "; none");
}

void results_field(const struct results *r, struct str *out)
{
	str_append_text(out, "Authentication-Results: ");
	results_text(r, out);
	str_append_text(out, "\r\n");
}

void results_received_spf(const struct results *r, struct str *out)
{
	str_printf(out, "Received-SPF: %s", spf_result_text(r->spf->result));
	put_comment(out, r->spf->reason);
	str_append_text(out, "\r\n\treceiver=");
	put_value(out, slice_of(r->authserv_id));
	str_append_text(out, "; client-ip=");
	put_value(out, r->address);
	str_append_text(out, ";\r\n\thelo=");
	put_value(out, r->helo);
	str_append_text(out, "; envelope-from=");
	put_value(out, r->sender);
	str_append_text(out, ";\r\n");
}

/* --- fields of others --- */

/* Skips white space and comments.  False: a comment has no end. */
static bool skip_space(struct slice *text)
{
	int depth = 0;
	size_t i = 0;

	for (; i < text->len; i++) {
		char c = text->ptr[i];

		if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth > 0 && c == '\\')
			i++;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
	*text = slice_sub(*text, i, text->len);
	return depth == 0;
}

/* A token or quoted string, unquoted into *word.  False: there is none. */
static bool take_word(struct slice *text, struct str *word)
{
	size_t i = 0;

	str_clear(word);
	if (text->len > 0 && text->ptr[0] == '"') {
		for (i = 1; i < text->len && text->ptr[i] != '"'; i++) {
			if (text->ptr[i] == '\\' && i + 1 < text->len)
				i++;
			str_append_byte(word, text->ptr[i]);
		}
		if (i == text->len)
			return false;
		*text = slice_sub(*text, i + 1, text->len);
		return true;
	}
	while (i < text->len && (unsigned char)text->ptr[i] > ' ' &&
	       !strchr("();=\"", text->ptr[i]))
		i++;
	str_append(word, slice_sub(*text, 0, i));
	*text = slice_sub(*text, i, text->len);
	return i > 0;
}

static bool contains_nocase(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (slice_eq_nocase(slice_sub(text, i, part.len), part))
			return true;
	return false;
}

bool results_claims(const struct header_field *field, const char *authserv_id)
{
	struct slice text = field->value, head;
	struct str word = {0};
	bool readable, ours;

	if (!header_is(field, "Authentication-Results"))
		return false;
	readable = skip_space(&text) && take_word(&text, &word);
	ours = slice_eq_nocase(str_slice(&word), slice_of(authserv_id));
	str_free(&word);
	text = field->value;
	(void)slice_cut(&text, ';', &head);
	return !readable || ours || contains_nocase(head, slice_of(authserv_id));
}

struct statement {
	struct str method, result;
	bool has_property;
};

/* One "method=result property=value …" up to ';' or the end.  False: malformed, nothing is left. */
static bool take_statement(struct slice *text, const char *property, struct slice value,
			   struct statement *s)
{
	struct str name = {0}, word = {0};
	bool ok = true, first = true;

	s->has_property = property == NULL;
	while ((ok = skip_space(text)) && text->len > 0 && text->ptr[0] != ';') {
		ok = take_word(text, &name) && skip_space(text) && text->len > 0 &&
		     text->ptr[0] == '=';
		if (ok) {
			*text = slice_sub(*text, 1, text->len);
			ok = skip_space(text) && take_word(text, &word);
		}
		if (!ok)
			break;
		if (first) {
			str_clear(&s->method);
			str_clear(&s->result);
			str_append(&s->method, str_slice(&name));
			str_append(&s->result, str_slice(&word));
		} else if (property && slice_eq_nocase(str_slice(&name), slice_of(property))) {
			s->has_property =
			    s->has_property || slice_eq_nocase(str_slice(&word), value);
		}
		first = false;
	}
	if (ok && text->len > 0)
		*text = slice_sub(*text, 1, text->len);
	str_free(&name);
	str_free(&word);
	return ok;
}

bool results_say(struct slice text, const char *method, const char *result, const char *property,
		 struct slice value)
{
	struct statement s = {0};
	struct str word = {0};
	bool found = false;

	/* The authserv-id and its version. */
	if (skip_space(&text) && take_word(&text, &word) && skip_space(&text)) {
		while (text.len > 0 && text.ptr[0] != ';' && take_word(&text, &word) &&
		       skip_space(&text))
			;
		text = slice_sub(text, text.len && text.ptr[0] == ';' ? 1 : text.len, text.len);
		while (!found && text.len > 0 && take_statement(&text, property, value, &s))
			found = s.has_property &&
				slice_eq_nocase(str_slice(&s.method), slice_of(method)) &&
				slice_eq_nocase(str_slice(&s.result), slice_of(result));
	}
	str_free(&s.method);
	str_free(&s.result);
	str_free(&word);
	return found;
}

/* --- the log --- */

void results_log(const struct results *r, struct str *out)
{
	if (r->spf)
		str_printf(out, "spf=%s (%.*s)", spf_result_text(r->spf->result),
			   SLICE_FMT(slice_sub(r->spf->reason, 0, DETAIL_MAX)));
	if (r->dkim && r->dkim->count == 0)
		str_append_text(out, ", dkim=none");
	for (size_t i = 0; r->dkim && i < r->dkim->count; i++) {
		const struct dkim_signature *d = &r->dkim->signature[i];

		str_printf(out, ", dkim=%s (%.*s%s%s)", dkim_result_text(d->result),
			   SLICE_FMT(slice_sub(d->s.domain, 0, 100)), d->reason ? ": " : "",
			   d->reason ? d->reason : "");
	}
	if (r->arc && r->arc->result != ARC_NONE)
		str_printf(out, ", arc=%s%s%s%s", arc_result_text(r->arc->result),
			   r->arc->reason ? " (" : "", r->arc->reason ? r->arc->reason : "",
			   r->arc->reason ? ")" : "");
	if (r->dmarc)
		str_printf(
		    out, ", dmarc=%s (%.*s%s%s), policy=%s", dmarc_result_text(r->dmarc->result),
		    SLICE_FMT(slice_sub(r->dmarc->domain, 0, 100)),
		    r->dmarc->domain.len ? ": " : "", r->dmarc->reason ? r->dmarc->reason : "",
		    dmarc_policy_text(r->dmarc->policy));
	if (r->dmarc_override)
		str_printf(out, ", override=%s", r->dmarc_override);
}
