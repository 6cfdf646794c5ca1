/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <time.h>

#include "common/mail/header.h"

/* The line at the front, with its terminator. */
static struct slice line_of(struct slice block)
{
	ptrdiff_t end = slice_find(block, '\n');

	return end < 0 ? block : slice_sub(block, 0, (size_t)end + 1);
}

static struct slice after(struct slice block, size_t len)
{
	return slice_sub(block, len, block.len);
}

static bool is_blank(struct slice line)
{
	return line.len == 0 || line.ptr[0] == '\n' || (line.len >= 2 && line.ptr[0] == '\r' && line.ptr[1] == '\n');
}

static bool is_folded(struct slice block)
{
	return block.len > 0 && (block.ptr[0] == ' ' || block.ptr[0] == '\t');
}

/* RFC 5322 field name, with white space before the colon allowed (obsolete form). */
static bool field_name(struct slice line, struct slice *name, size_t *colon)
{
	ptrdiff_t at = slice_find(line, ':');

	if (at <= 0)
		return false;
	*colon = (size_t)at;
	*name = slice_trim(slice_sub(line, 0, (size_t)at));
	if (name->len == 0 || name->ptr != line.ptr)
		return false;
	for (size_t i = 0; i < name->len; i++)
		if (name->ptr[i] <= ' ' || name->ptr[i] == 127)
			return false;
	return true;
}

bool header_next(struct slice *block, struct header_field *field)
{
	struct slice line = line_of(*block);
	size_t colon = 0, len = line.len;
	bool mbox = false;

	*field = (struct header_field){ 0 };
	if (is_blank(line))
		return false;
	if (!field_name(line, &field->name, &colon)) {
		mbox = slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
		if (!mbox)
			return false;
	}
	while (is_folded(after(*block, len)))
		len += line_of(after(*block, len)).len;
	field->whole = slice_sub(*block, 0, len);
	if (!mbox)
		field->value = slice_trim(after(field->whole, colon + 1));
	else
		field->name = SLICE_NONE;
	*block = after(*block, len);
	return true;
}

bool header_is(const struct header_field *field, const char *name)
{
	return slice_eq_nocase(field->name, slice_of(name));
}

void header_unfold(struct str *out, struct slice value)
{
	str_reserve(out, value.len);
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (c == '\r' || c == '\n')
			continue;
		str_append_byte(out, c < ' ' || c == 127 ? ' ' : (char)c);
	}
}

/* --- fields that we add --- */

static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

void header_date(double when, char date[HEADER_DATE_SIZE])
{
	time_t seconds = when > 0 && when < 9e12 ? (time_t)when : 0;
	struct tm tm = { 0 };
	long zone;

	localtime_r(&seconds, &tm);
	zone = tm.tm_gmtoff / 60;
	snprintf(date, HEADER_DATE_SIZE, "%s, %2d %s %04d %02d:%02d:%02d %c%02ld%02ld (%.10s)",
		 days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, zone < 0 ? '-' : '+', (zone < 0 ? -zone : zone) / 60, (zone < 0 ? -zone : zone) % 60,
		 tm.tm_zone ? tm.tm_zone : "");
}

/* Nothing from the network may end the field or open a comment in it. */
static void put_printable(struct str *out, struct slice text)
{
	for (size_t i = 0; i < text.len && i < 512; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		str_append_byte(out, c < ' ' || c == 127 || c == '(' || c == ')' || c == '\\' ? '?' : (char)c);
	}
}

static bool balanced(struct slice text)
{
	long depth = 0;

	for (size_t i = 0; i < text.len && depth >= 0; i++)
		depth += text.ptr[i] == '(' ? 1 : text.ptr[i] == ')' ? -1 : 0;
	return depth == 0;
}

/* A comment may have others in it (RFC 5322, section 3.2.2). */
static void put_comment(struct str *out, struct slice text)
{
	bool nests = balanced(text);

	for (size_t i = 0; i < text.len && i < 512; i++) {
		if (nests && (text.ptr[i] == '(' || text.ptr[i] == ')'))
			str_append_byte(out, text.ptr[i]);
		else
			put_printable(out, slice_sub(text, i, 1));
	}
}

static void put_from(struct str *out, const struct message_envelope *e)
{
	bool ipv6 = slice_find(e->client_address, ':') >= 0 && !slice_starts_nocase(e->client_address, SLICE("IPv6:"));

	str_append_text(out, "Received: from ");
	put_printable(out, e->helo.len ? e->helo : e->client_name);
	str_append_text(out, " (");
	put_printable(out, e->client_name.len ? e->client_name : SLICE("unknown"));
	str_append_text(out, ipv6 ? " [IPv6:" : " [");
	put_printable(out, e->client_address.len ? e->client_address : SLICE("unknown"));
	str_append_text(out, "])\r\n");
}

static void put_tls(struct str *out, const struct message_envelope *e)
{
	static const char fold[] = " key-exchange ";
	const char *details;

	if (e->tls.len == 0)
		return;
	details = memmem(e->tls.ptr, e->tls.len, fold, sizeof(fold) - 1);
	str_append_text(out, "\t(using ");
	if (details) {
		size_t first = (size_t)(details - e->tls.ptr);

		put_comment(out, slice_sub(e->tls, 0, first));
		str_append_text(out, "\r\n\t");
		put_comment(out, slice_sub(e->tls, first, e->tls.len));
	} else {
		put_comment(out, e->tls);
	}
	str_append_text(out, ")\r\n");
	if (e->tls_peer.len > 0) {
		str_append_text(out, "\t(");
		put_comment(out, e->tls_peer);
		str_append_text(out, ")\r\n");
	}
}

void header_received(struct str *out, const struct message_envelope *e, const char *queue_id, const char *hostname,
		     const char *mail_name, struct slice recipient)
{
	char date[HEADER_DATE_SIZE];

	header_date(e->arrival, date);
	if (e->origin != ORIGIN_SMTP) {
		if (e->origin == ORIGIN_LOCAL)
			str_printf(out, "Received: by %s (%s, from userid %u)\r\n", hostname, mail_name, e->uid);
		else
			str_printf(out, "Received: by %s (%s)\r\n", hostname, mail_name);
		str_printf(out, "\tid %s; %s\r\n", queue_id, date);
		return;
	}
	put_from(out, e);
	put_tls(out, e);
	if (e->sasl_login.len > 0 && e->show_login) {
		str_append_text(out, "\t(Authenticated sender: ");
		put_printable(out, e->sasl_login);
		str_append_text(out, ")\r\n");
	}
	str_printf(out, "\tby %s (%s) with ", hostname, mail_name);
	put_printable(out, e->protocol.len ? e->protocol : SLICE("SMTP"));
	str_printf(out, " id %s", queue_id);
	if (recipient.len > 0) {
		str_append_text(out, "\r\n\tfor <");
		put_printable(out, recipient);
		str_printf(out, ">; %s\r\n", date);
	} else {
		str_printf(out, ";\r\n\t%s\r\n", date);
	}
}

void header_message_id(struct str *out, double when, const char *queue_id, const char *hostname)
{
	time_t seconds = when > 0 && when < 9e12 ? (time_t)when : 0;
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	str_printf(out, "<%04d%02d%02d%02d%02d%02d.%s@%s>", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		   tm.tm_min, tm.tm_sec, queue_id, hostname);
}

static bool atom_or_space(unsigned char c)
{
	return c > 127 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == ' ' ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

void header_phrase(struct str *out, struct slice text)
{
	bool plain = text.len > 0;

	for (size_t i = 0; i < text.len; i++)
		plain = plain && atom_or_space((unsigned char)text.ptr[i]);
	if (plain) {
		str_append(out, text);
		return;
	}
	str_append_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '"' || c == '\\')
			str_append_byte(out, '\\');
		str_append_byte(out, c < ' ' || c == 127 ? ' ' : (char)c);
	}
	str_append_byte(out, '"');
}
