/* SPDX-License-Identifier: ISC */
#include "auth/dovecot_line.h"

#include "common/sasl/base64.h"

static const struct {
	const char *word;
	unsigned property;
} properties[] = {
	{ "anonymous", SASL_ANONYMOUS },           { "plaintext", SASL_PLAINTEXT }, { "dictionary", SASL_DICTIONARY },
	{ "active", SASL_ACTIVE },                 { "private", SASL_PRIVATE },     { "forward-secrecy", SASL_FORWARD_SECRECY },
	{ "mutual-auth", SASL_MUTUAL_AUTH },
};

static bool parse_mechanism(struct slice rest, struct dovecot_line *line)
{
	struct slice word;
	bool more;

	more = slice_cut(&rest, '\t', &line->name);
	while (more) {
		more = slice_cut(&rest, '\t', &word);
		for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
			if (slice_eq(word, slice_of(properties[i].word)))
				line->properties |= properties[i].property;
	}
	return sasl_mechanism_valid(line->name);
}

/* True and the rest of the word, when it is "name=rest". */
static bool is_named(struct slice word, struct slice name, struct slice *value)
{
	if (!slice_starts(word, name))
		return false;
	*value = slice_sub(word, name.len, word.len);
	return true;
}

static void parse_result(struct slice rest, struct dovecot_line *line)
{
	struct slice word;
	bool more = rest.len > 0;

	while (more) {
		more = slice_cut(&rest, '\t', &word);
		if (is_named(word, SLICE("user="), &line->user) || is_named(word, SLICE("reason="), &line->reason) ||
		    is_named(word, SLICE("code="), &line->code))
			continue;
		if (slice_eq(word, SLICE("temp")))
			line->temporary = true;
	}
	if (slice_eq(line->code, SLICE("temp_fail")))
		line->temporary = true;
}

bool dovecot_parse(struct slice text, struct dovecot_line *line)
{
	static const struct {
		const char *word;
		enum dovecot_kind kind;
	} kinds[] = { { "VERSION", DOVECOT_VERSION }, { "MECH", DOVECOT_MECHANISM }, { "DONE", DOVECOT_DONE },
		      { "CONT", DOVECOT_CONTINUE },   { "OK", DOVECOT_OK },          { "FAIL", DOVECOT_FAIL } };
	struct slice rest = text, word, number;

	*line = (struct dovecot_line){ .kind = DOVECOT_OTHER };
	slice_cut(&rest, '\t', &word);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_eq(word, slice_of(kinds[i].word)))
			line->kind = kinds[i].kind;
	if (line->kind == DOVECOT_OTHER || line->kind == DOVECOT_DONE)
		return true;
	if (line->kind == DOVECOT_MECHANISM)
		return parse_mechanism(rest, line);
	slice_cut(&rest, '\t', &number);
	if (!slice_to_u64(number, &line->number))
		return false;
	if (line->kind == DOVECOT_CONTINUE)
		line->data = rest;
	else if (line->kind != DOVECOT_VERSION)
		parse_result(rest, line);
	return true;
}

void dovecot_unescape(struct slice text, struct str *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == 1 && i + 1 < text.len) {
			c = text.ptr[++i];
			c = c == '0' ? '\0' : c == '1' ? '\001' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'n' ? '\n' : c;
		}
		str_append_byte(out, c);
	}
}

static void escape(struct str *out, struct slice value)
{
	static const char plain[] = { 0, 1, '\t', '\r', '\n' }, letters[] = "01trn";

	for (size_t i = 0; i < value.len; i++) {
		const char *at = memchr(plain, value.ptr[i], sizeof(plain));

		if (at)
			str_append_byte(out, '\001');
		str_append_byte(out, at ? letters[at - plain] : value.ptr[i]);
	}
}

void dovecot_put(struct str *out, const char *name, struct slice value)
{
	if (value.len == 0)
		return;
	str_printf(out, "\t%s=", name);
	escape(out, value);
}

void dovecot_put_auth(struct str *out, uint64_t number, const char *service, const struct auth_start *start)
{
	str_printf(out, "AUTH\t%llu\t%.*s", (unsigned long long)number, SLICE_FMT(start->mechanism));
	dovecot_put(out, "service", slice_of(service));
	str_append_text(out, "\tnologin");
	dovecot_put(out, "lip", start->local_address);
	dovecot_put(out, "rip", start->client_address);
	dovecot_put(out, "lport", start->local_port);
	dovecot_put(out, "rport", start->client_port);
	if (start->secured)
		str_append_text(out, "\tsecured");
	if (start->certificate)
		str_append_text(out, "\tvalid-client-cert");
	/* The last: what follows would be taken for a part of it. */
	if (start->has_response) {
		str_append_text(out, "\tresp=");
		base64_encode(start->response, out);
	}
	str_append_byte(out, '\n');
}
