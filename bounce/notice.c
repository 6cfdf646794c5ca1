/* SPDX-License-Identifier: ISC */
#include <time.h>

#include "bounce/notice.h"
#include "common/mail/address.h"

static void put_date(struct str *out, const char *name, double when)
{
	time_t seconds = (time_t)when;
	struct tm tm;
	char text[64];

	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&seconds, &tm));
	str_printf(out, "%s: %s\r\n", name, text);
}

/* Text of others: one line, printable. */
static void put_text(struct str *out, struct slice text)
{
	for (size_t i = 0; i < text.len && i < 900; i++)
		str_append_byte(out, (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127 ? ' ' : text.ptr[i]);
}

static void put_human_part(const struct notice *n, const struct notice_settings *s, struct str *out)
{
	str_printf(out,
		   "Content-Description: Notification\r\nContent-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n"
		   "This is the mail system at host %s.\r\n\r\n"
		   "Your message could not be delivered to one or more recipients. It is\r\n"
		   "attached below, or its header is.\r\n\r\n"
		   "What the systems on the way said is below; if it does not help you, send\r\n"
		   "it to postmaster there, without your message's text if you prefer.\r\n\r\n",
		   s->myhostname);
	for (size_t i = 0; i < n->envelope->recipient_count; i++) {
		const struct message_recipient *r = &n->envelope->recipients[i];

		if (r->status != RECIPIENT_FAILED)
			continue;
		str_append_byte(out, '<');
		put_text(out, r->original.len ? r->original : r->address);
		str_append_text(out, ">: ");
		put_text(out, n->results[i].text.len ? n->results[i].text : SLICE("delivery failed"));
		str_append_text(out, "\r\n\r\n");
	}
}

static void put_recipient_fields(const struct message_recipient *r, const struct message_result *result, bool utf8,
				 struct str *out)
{
	struct slice dsn = result->dsn.len && result->dsn.ptr[0] == '5' ? result->dsn : SLICE("5.0.0");

	str_printf(out, "\r\nFinal-Recipient: %s; ", utf8 ? "utf-8" : "rfc822");
	put_text(out, r->address);
	str_append_text(out, "\r\n");
	if (r->orcpt.len || r->original.len) {
		str_append_text(out, "Original-Recipient: ");
		if (!r->orcpt.len)
			str_append_text(out, "rfc822;");
		put_text(out, r->orcpt.len ? r->orcpt : r->original);
		str_append_text(out, "\r\n");
	}
	str_append_text(out, "Action: failed\r\nStatus: ");
	put_text(out, dsn);
	str_append_text(out, "\r\n");
	if (result->remote.len) {
		str_append_text(out, "Remote-MTA: dns; ");
		/* "host[address]:port": the host. */
		struct slice relay = result->relay, host;

		slice_cut(&relay, '[', &host);
		put_text(out, host);
		str_append_text(out, "\r\nDiagnostic-Code: smtp; ");
		put_text(out, result->remote);
	} else {
		str_append_text(out, "Diagnostic-Code: X-Postrider; ");
		put_text(out, result->text.len ? result->text : SLICE("delivery failed"));
	}
	str_append_text(out, "\r\n");
}

static void put_machine_part(const struct notice *n, const struct notice_settings *s, bool utf8, struct str *out)
{
	str_printf(out, "Content-Description: Delivery report\r\nContent-Type: message/%sdelivery-status\r\n\r\n",
		   utf8 ? "global-" : "");
	if (n->envelope->envid.len) {
		str_append_text(out, "Original-Envelope-Id: ");
		put_text(out, n->envelope->envid);
		str_append_text(out, "\r\n");
	}
	str_printf(out, "Reporting-MTA: dns; %s\r\nX-Postfix-Queue-ID: %.*s\r\nX-Postfix-Sender: rfc822; ",
		   s->myhostname, SLICE_FMT(n->queue_id));
	put_text(out, n->envelope->sender);
	str_append_text(out, "\r\n");
	put_date(out, "Arrival-Date", n->envelope->arrival);
	for (size_t i = 0; i < n->envelope->recipient_count; i++)
		if (n->envelope->recipients[i].status == RECIPIENT_FAILED)
			put_recipient_fields(&n->envelope->recipients[i], &n->results[i], utf8, out);
}

void notice_write(const struct notice *n, const struct notice_settings *s, struct str *out)
{
	bool utf8 = n->envelope->smtputf8;
	struct str boundary = { 0 };

	/* A boundary that the original cannot hold: it has our queue ID and the time. */
	str_printf(&boundary, "%.*s.%lld/%s", SLICE_FMT(n->queue_id), (long long)(n->now * 1e6), s->myhostname);
	put_date(out, "Date", n->now);
	str_printf(out,
		   "From: MAILER-DAEMON@%s (Mail Delivery System)\r\nSubject: Undelivered Mail Returned to Sender\r\n"
		   "To: ",
		   s->myhostname);
	put_text(out, n->envelope->sender);
	str_printf(out,
		   "\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
		   "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n"
		   "Message-Id: <%lld.%.*s@%s>\r\n\r\n"
		   "This is a MIME-encapsulated message.\r\n\r\n--%s\r\n",
		   str_cstr(&boundary), (long long)(n->now * 1e6), SLICE_FMT(n->queue_id), s->myhostname,
		   str_cstr(&boundary));
	put_human_part(n, s, out);
	str_printf(out, "--%s\r\n", str_cstr(&boundary));
	put_machine_part(n, s, utf8, out);
	str_printf(out, "\r\n--%s\r\nContent-Description: Undelivered Message%s\r\nContent-Type: %s\r\n%s\r\n",
		   str_cstr(&boundary), n->header_only ? " Headers" : "",
		   n->header_only ? (utf8 ? "message/global-headers" : "text/rfc822-headers") :
				    (utf8 ? "message/global" : "message/rfc822"),
		   address_is_ascii(n->original) ? "" : "Content-Transfer-Encoding: 8bit\r\n");
	str_append(out, n->original);
	str_printf(out, "\r\n--%s--\r\n", str_cstr(&boundary));
	str_free(&boundary);
}
