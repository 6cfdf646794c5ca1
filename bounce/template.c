/* SPDX-License-Identifier: ISC */
#include "bounce/template.h"

#include <stdlib.h>

#include "common/config/params.h"

#define UNITS 4

static const char *const kind_names[TEMPLATE_KINDS] = { "failure_template", "delay_template", "success_template",
							"verify_template" };

static const char built_in[] =
	"failure_template = <<END\n"
	"Charset: us-ascii\nFrom: MAILER-DAEMON (Mail Delivery System)\n"
	"Subject: Undelivered Mail Returned to Sender\nPostmaster-Subject: Postmaster Copy: Undelivered Mail\n"
	"\n"
	"This is the mail system at host $myhostname.\n\n"
	"Your message could not be delivered to one or more recipients. It is\n"
	"attached below, or its header is.\n\n"
	"What the systems on the way said is below; if it does not help you, send\n"
	"it to postmaster there, without your message's text if you prefer.\n"
	"END\n"
	"delay_template = <<END\n"
	"Charset: us-ascii\nFrom: MAILER-DAEMON (Mail Delivery System)\n"
	"Subject: Delayed Mail (still being retried)\nPostmaster-Subject: Postmaster Warning: Delayed Mail\n"
	"\n"
	"This is the mail system at host $myhostname.\n\n"
	"Nothing is lost, and there is nothing that you need to do: your message\n"
	"is late. It has not reached one or more of its recipients yet, and we go\n"
	"on trying until it is $maximal_queue_lifetime_days day(s) old.\n"
	"END\n"
	"success_template = <<END\n"
	"Charset: us-ascii\nFrom: MAILER-DAEMON (Mail Delivery System)\n"
	"Subject: Successful Mail Delivery Report\n"
	"\n"
	"This is the mail system at host $myhostname.\n\n"
	"You asked to be told: your message has arrived at the recipients below, or\n"
	"was given to a mail system that does not tell you when it arrives there.\n"
	"END\n"
	"verify_template = <<END\n"
	"Charset: us-ascii\nFrom: MAILER-DAEMON (Mail Delivery System)\n"
	"Subject: Mail Delivery Status Report\n"
	"\n"
	"This is the mail system at host $myhostname.\n\n"
	"Below is what became of the delivery that you asked about.\n"
	"END\n";

static void template_free(struct template *t)
{
	str_free(&t->charset);
	str_free(&t->from);
	str_free(&t->subject);
	str_free(&t->postmaster_subject);
	str_free(&t->body);
}

void templates_free(struct templates *templates)
{
	for (size_t i = 0; i < TEMPLATE_KINDS; i++)
		template_free(&templates->of[i]);
}

/* --- $names --- */

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* "maximal_queue_lifetime_days": a time in another unit.  False: it is none. */
static bool put_time(struct slice name, const struct config *config, struct str *out)
{
	static const struct {
		const char *suffix;
		double seconds;
	} units[UNITS] = { { "_seconds", 1 }, { "_minutes", 60 }, { "_hours", 3600 }, { "_days", 86400 } };

	for (size_t i = 0; i < UNITS; i++) {
		struct slice suffix = slice_of(units[i].suffix);
		const struct param *p;

		if (name.len <= suffix.len || !slice_eq(slice_sub(name, name.len - suffix.len, name.len), suffix))
			continue;
		p = param_find(slice_sub(name, 0, name.len - suffix.len));
		if (!p || p->type != PARAM_TIME)
			return false;
		str_printf(out, "%.0f", config_time(config, p->name) / units[i].seconds);
		return true;
	}
	return false;
}

/* $name, ${name}, $(name); "$$" is a dollar. */
static size_t put_variable(struct slice text, const struct config *config, struct str *out)
{
	char close = text.len > 1 && text.ptr[1] == '{' ? '}' : text.len > 1 && text.ptr[1] == '(' ? ')' : 0;
	size_t start = close ? 2 : 1, end = start;
	const char *value;
	char *name;

	if (text.len > 1 && text.ptr[1] == '$') {
		str_append_byte(out, '$');
		return 2;
	}
	while (end < text.len && is_name_byte(text.ptr[end]))
		end++;
	if (end == start || (close && (end == text.len || text.ptr[end] != close))) {
		str_append_byte(out, '$');
		return 1;
	}
	name = mem_slicedup(slice_sub(text, start, end - start));
	value = config_lookup(config, name);
	if (!put_time(slice_of(name), config, out))
		str_append_text(out, value ? value : "");
	free(name);
	return close ? end + 1 : end;
}

static void expand(struct slice text, const struct config *config, struct str *out)
{
	for (size_t i = 0; i < text.len;) {
		if (text.ptr[i] == '$') {
			i += put_variable(slice_sub(text, i, text.len), config, out);
			continue;
		}
		if (text.ptr[i] == '\n')
			str_append_byte(out, '\r');
		str_append_byte(out, text.ptr[i++]);
	}
}

/* --- one template --- */

static struct str *header_field(struct template *t, struct slice name)
{
	if (slice_eq_nocase(name, SLICE("Charset")))
		return &t->charset;
	if (slice_eq_nocase(name, SLICE("From")))
		return &t->from;
	if (slice_eq_nocase(name, SLICE("Subject")))
		return &t->subject;
	return slice_eq_nocase(name, SLICE("Postmaster-Subject")) ? &t->postmaster_subject : NULL;
}

static bool printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || (unsigned char)text.ptr[i] > 126)
			return false;
	return true;
}

/* Header lines, an empty line, the body. */
static bool parse_template(struct template *t, struct slice text, const struct config *config, struct err *err)
{
	struct slice line, name;
	bool eight_bit = false;

	while (slice_cut(&text, '\n', &line) && slice_trim(line).len > 0) {
		struct slice value = line;
		struct str *field;

		slice_cut(&value, ':', &name);
		field = header_field(t, slice_trim(name));
		value = slice_trim(value);
		if (!field || value.len == 0 || !printable(value))
			return err_set(err, ERR_SYNTAX, "not a header line of a notice: \"%.*s\"", SLICE_FMT(line));
		str_clear(field);
		str_append(field, value);
	}
	if (t->from.len == 0 || t->subject.len == 0 || text.len == 0)
		return err_set(err, ERR_SYNTAX, "a template needs From:, Subject:, an empty line and a text");
	for (size_t i = 0; i < text.len; i++)
		eight_bit |= (unsigned char)text.ptr[i] > 126;
	if (t->charset.len == 0)
		str_append_text(&t->charset, "us-ascii");
	if (eight_bit && slice_eq_nocase(str_slice(&t->charset), SLICE("us-ascii")))
		return err_set(err, ERR_SYNTAX, "a text beyond ASCII needs a Charset: line");
	if (t->postmaster_subject.len == 0)
		str_append(&t->postmaster_subject, str_slice(&t->subject));
	expand(text, config, &t->body);
	return true;
}

/* --- the file --- */

/* "name = <<WORD": which; -1 on anything else. */
static int parse_start(struct slice line, struct slice *word)
{
	struct slice rest = line, name;

	if (slice_find(line, '=') < 0)
		return -1;
	slice_cut(&rest, '=', &name);
	rest = slice_trim(rest);
	if (rest.len < 3 || rest.ptr[0] != '<' || rest.ptr[1] != '<')
		return -1;
	*word = slice_trim(slice_sub(rest, 2, rest.len));
	for (int i = 0; i < TEMPLATE_KINDS; i++)
		if (slice_eq(slice_trim(name), slice_of(kind_names[i])))
			return i;
	return -1;
}

/* What stands before the line `word`; false: there is none. */
static bool take_body(struct slice *text, struct slice word, struct slice *body, size_t *lines)
{
	const char *start = text->ptr;
	struct slice line;

	while (slice_cut(text, '\n', &line)) {
		++*lines;
		if (!slice_eq(slice_trim(line), word))
			continue;
		*body = slice_make(start, (size_t)(line.ptr - start));
		return true;
	}
	return false;
}

static bool parse_all(struct templates *found, struct slice text, const struct config *config, struct err *err)
{
	struct slice line, word, body;
	size_t number = 0;

	while (slice_cut(&text, '\n', &line)) {
		struct err why = { 0 };
		int kind;

		number++;
		line = slice_trim(line);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		kind = parse_start(line, &word);
		if (kind < 0)
			return err_set(err, ERR_SYNTAX, "line %zu: expected \"failure_template = <<WORD\" or one of its kind",
				       number);
		size_t start = number;

		if (!take_body(&text, word, &body, &number))
			return err_set(err, ERR_SYNTAX, "line %zu: no line \"%.*s\" ends this template", start,
				       SLICE_FMT(word));
		template_free(&found->of[kind]);
		if (!parse_template(&found->of[kind], body, config, &why))
			return err_set(err, ERR_SYNTAX, "line %zu: %s: %s", start, kind_names[kind], why.text);
	}
	return true;
}

bool templates_parse(struct templates *templates, struct slice text, const struct config *config, struct err *err)
{
	struct templates found = { 0 };

	if (!parse_all(&found, text, config, err)) {
		templates_free(&found);
		return false;
	}
	for (size_t i = 0; i < TEMPLATE_KINDS; i++) {
		if (found.of[i].body.len == 0)
			continue;
		template_free(&templates->of[i]);
		templates->of[i] = found.of[i];
	}
	return true;
}

void templates_default(struct templates *templates, const struct config *config)
{
	struct err err;

	*templates = (struct templates){ 0 };
	if (!templates_parse(templates, slice_of(built_in), config, &err))
		templates_free(templates);
}
