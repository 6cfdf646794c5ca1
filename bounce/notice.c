/* SPDX-License-Identifier: ISC */
#include "bounce/notice.h"

#include <time.h>

#include "common/mail/address.h"

#define TEXT_MAX 900 /* of one line: 998 with what stands before it */

static void put_date(struct str *out, const char *name, double when)
{
	time_t seconds = (time_t)when;
	struct tm tm;
	char text[64];

	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&seconds, &tm));
	str_printf(out, "%s: %s\r\n", name, text);
}

/* Text of others: one line, printable; what no charset was promised for is a question mark. */
static void put_text(struct str *out, struct slice text, bool utf8)
{
	for (size_t i = 0; i < text.len && i < TEXT_MAX; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		str_append_byte(out, c < ' ' || c == 127 ? ' ' : c > 127 && !utf8 ? '?' : (char)c);
	}
}

bool notice_concerns(enum qmgr_notice kind, const struct message_recipient *r)
{
	switch (kind) {
	case NOTICE_FAILURE:
		return r->status == RECIPIENT_FAILED && (r->notify == 0 || r->notify & NOTIFY_FAILURE);
	case NOTICE_SUCCESS:
		return recipient_is_to_tell(r->status);
	case NOTICE_DELAY:
		return r->status == RECIPIENT_PENDING && (r->notify == 0 || r->notify & NOTIFY_DELAY);
	}
	return false;
}

static bool is_reported(const struct notice *n, size_t index)
{
	struct message_recipient r = n->envelope->recipients[index];

	/* The postmaster's wish is notify_classes. */
	if (n->postmaster)
		r.notify = 0;
	return (n->only == NOTICE_ALL || n->only == index) && notice_concerns(n->kind, &r);
}

static const struct template *template_of(const struct notice *n, const struct notice_settings *s)
{
	return &s->templates->of[n->kind == NOTICE_FAILURE ? TEMPLATE_FAILURE :
				 n->kind == NOTICE_DELAY ? TEMPLATE_DELAY : TEMPLATE_SUCCESS];
}

/* --- for people --- */

static struct slice said_of(const struct notice *n, size_t index)
{
	if (n->results[index].text.len)
		return n->results[index].text;
	return n->kind == NOTICE_FAILURE ? SLICE("delivery failed") :
	       n->kind == NOTICE_DELAY ? SLICE("not delivered yet") : SLICE("delivered");
}

static void put_human_part(const struct notice *n, const struct notice_settings *s, struct str *out)
{
	const struct template *t = template_of(n, s);
	bool utf8 = n->envelope->smtputf8, eight = utf8 || !address_is_ascii(str_slice(&t->body));

	str_printf(out, "Content-Description: Notification\r\nContent-Type: text/plain; charset=%s\r\n",
		   utf8 ? "utf-8" : t->charset.data);
	if (eight)
		str_append_text(out, "Content-Transfer-Encoding: 8bit\r\n");
	str_append_text(out, "\r\n");
	str_append(out, str_slice(&t->body));
	str_append_text(out, "\r\n");
	for (size_t i = 0; i < n->envelope->recipient_count; i++) {
		const struct message_recipient *r = &n->envelope->recipients[i];

		if (!is_reported(n, i))
			continue;
		str_append_byte(out, '<');
		put_text(out, r->original.len ? r->original : r->address, utf8);
		str_append_text(out, ">: ");
		put_text(out, said_of(n, i), utf8);
		str_append_text(out, "\r\n\r\n");
	}
}

/* --- for programs --- */

static const char *action_of(const struct notice *n, const struct message_recipient *r)
{
	if (n->kind == NOTICE_FAILURE)
		return "failed";
	if (n->kind == NOTICE_DELAY)
		return "delayed";
	return r->status == RECIPIENT_TELL_RELAYED ? "relayed" :
	       r->status == RECIPIENT_TELL_EXPANDED ? "expanded" : "delivered";
}

static void put_line(struct str *out, const char *name, struct slice text, bool utf8)
{
	str_append_text(out, name);
	put_text(out, text, utf8);
	str_append_text(out, "\r\n");
}

/* Address type and address (RFC 6533 section 3): "utf-8" only for what is not ASCII. */
static void put_address(struct str *out, const char *name, struct slice address, bool utf8)
{
	str_printf(out, "%s: %s; ", name, utf8 && !address_is_ascii(address) ? "utf-8" : "rfc822");
	put_line(out, "", address, utf8);
}

static void put_diagnostic(const struct notice *n, size_t index, bool utf8, struct str *out)
{
	const struct message_result *result = &n->results[index];
	struct slice relay = result->relay, host;

	if (result->remote.len || (n->kind == NOTICE_SUCCESS && !slice_eq(relay, SLICE("none")) &&
				   slice_find(relay, '[') > 0)) {
		/* "host[address]:port": the host. */
		slice_cut(&relay, '[', &host);
		put_line(out, "Remote-MTA: dns; ", host, utf8);
	}
	if (result->remote.len)
		put_line(out, "Diagnostic-Code: smtp; ", result->remote, utf8);
	else
		put_line(out, "Diagnostic-Code: X-Postrider; ", said_of(n, index), utf8);
}

static void put_recipient_fields(const struct notice *n, size_t index, struct str *out)
{
	const struct message_recipient *r = &n->envelope->recipients[index];
	const struct message_result *result = &n->results[index];
	bool utf8 = n->envelope->smtputf8;
	const char *fallback = n->kind == NOTICE_FAILURE ? "5.0.0" : n->kind == NOTICE_DELAY ? "4.0.0" : "2.0.0";

	str_append_text(out, "\r\n");
	put_address(out, "Final-Recipient", r->address, utf8);
	if (r->orcpt.len)
		put_line(out, "Original-Recipient: ", r->orcpt, utf8);
	else if (r->original.len)
		put_address(out, "Original-Recipient", r->original, utf8);
	str_printf(out, "Action: %s\r\n", action_of(n, r));
	put_line(out, "Status: ", result->dsn.len ? result->dsn : slice_of(fallback), utf8);
	put_diagnostic(n, index, utf8, out);
	if (result->time > 0)
		put_date(out, "Last-Attempt-Date", result->time);
	if (n->kind == NOTICE_DELAY)
		put_date(out, "Will-Retry-Until", n->retry_until);
}

static void put_machine_part(const struct notice *n, const struct notice_settings *s, struct str *out)
{
	const struct message_envelope *e = n->envelope;

	str_printf(out, "Content-Description: Delivery report\r\nContent-Type: message/%sdelivery-status\r\n",
		   e->smtputf8 ? "global-" : "");
	if (e->smtputf8)
		str_append_text(out, "Content-Transfer-Encoding: 8bit\r\n");
	str_append_text(out, "\r\n");
	if (e->envid.len)
		put_line(out, "Original-Envelope-Id: ", e->envid, e->smtputf8);
	str_printf(out, "Reporting-MTA: dns; %s\r\nX-Postfix-Queue-ID: %.*s\r\n", s->myhostname, SLICE_FMT(n->queue_id));
	if (e->sender.len)
		put_address(out, "X-Postfix-Sender", e->sender, e->smtputf8);
	put_date(out, "Arrival-Date", e->arrival);
	for (size_t i = 0; i < e->recipient_count; i++)
		if (is_reported(n, i))
			put_recipient_fields(n, i, out);
}

/* --- the whole --- */

/* "MAILER-DAEMON (Mail Delivery System)": the first word is an address, perhaps without a domain. */
static void put_from(const struct template *t, const struct notice_settings *s, struct str *out)
{
	struct slice rest = str_slice(&t->from), word;

	str_append_text(out, "From: ");
	if (slice_find(rest, '@') < 0 && slice_find(rest, '<') < 0 && slice_word(&rest, " \t", &word))
		str_printf(out, "%.*s@%s%s%.*s", SLICE_FMT(word), s->myorigin, rest.len ? " " : "",
			   SLICE_FMT(slice_trim(rest)));
	else
		str_append(out, str_slice(&t->from));
	str_append_text(out, "\r\n");
}

static void put_header(const struct notice *n, const struct notice_settings *s, const char *boundary, struct str *out)
{
	const struct template *t = template_of(n, s);
	bool utf8 = n->envelope->smtputf8;

	put_date(out, "Date", n->now);
	put_from(t, s, out);
	str_append_text(out, "Subject: ");
	str_append(out, str_slice(n->postmaster ? &t->postmaster_subject : &t->subject));
	put_line(out, "\r\nTo: ", n->to, utf8);
	str_printf(out,
		   "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
		   "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n\tboundary=\"%s\"\r\n"
		   "Message-Id: <%lld.%.*s.%u%s@%s>\r\n\r\n"
		   "This is a MIME-encapsulated message.\r\n\r\n",
		   utf8 ? "global-" : "", boundary, (long long)(n->now * 1e6), SLICE_FMT(n->queue_id),
		   n->only == NOTICE_ALL ? 0 : n->only + 1, n->postmaster ? "p" : "", s->myhostname);
}

void notice_write(const struct notice *n, const struct notice_settings *s, struct str *out)
{
	bool utf8 = n->envelope->smtputf8;
	struct str boundary = { 0 };

	/* A boundary that the original cannot hold: it has our queue ID and the time. */
	str_printf(&boundary, "%.*s.%lld/%s", SLICE_FMT(n->queue_id), (long long)(n->now * 1e6), s->myhostname);
	put_header(n, s, str_cstr(&boundary), out);
	str_printf(out, "--%s\r\n", str_cstr(&boundary));
	put_human_part(n, s, out);
	str_printf(out, "--%s\r\n", str_cstr(&boundary));
	put_machine_part(n, s, out);
	str_printf(out, "\r\n--%s\r\nContent-Description: %s Message%s\r\nContent-Type: %s\r\n%s\r\n",
		   str_cstr(&boundary), n->kind == NOTICE_SUCCESS ? "Delivered" :
		   n->kind == NOTICE_DELAY ? "Delayed" : "Undelivered",
		   n->header_only ? " Headers" : "",
		   n->header_only ? (utf8 ? "message/global-headers" : "text/rfc822-headers") :
				    (utf8 ? "message/global" : "message/rfc822"),
		   address_is_ascii(n->original) ? "" : "Content-Transfer-Encoding: 8bit\r\n");
	str_append(out, n->original);
	str_printf(out, "\r\n--%s--\r\n", str_cstr(&boundary));
	str_free(&boundary);
}
