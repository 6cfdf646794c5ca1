/* SPDX-License-Identifier: ISC */
#include "auth/notice.h"

#include <time.h>
#include <unistd.h>

#include "common/proto/cleanup_proto.h"

#define TIMEOUT 240

void notice_write(const struct notice_settings *s, struct slice user, const struct auth_verdict *verdict, double now,
		  struct str *out)
{
	const char *what = verdict->over == AUTH_OVER_MESSAGES ? "messages" : "recipients";
	time_t seconds = (time_t)now;
	struct tm tm;
	char date[64];

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&seconds, &tm));
	str_printf(out,
		   "Date: %s\r\nFrom: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: Postmaster <%s>\r\n"
		   "Subject: %s SMTP server: a login is over its limit\r\nAuto-Submitted: auto-generated\r\n"
		   "Message-Id: <%lld.limit@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n",
		   date, s->myhostname, s->recipient, s->mail_name, (long long)(now * 1e6), s->myhostname);
	str_printf(out,
		   "This is the mail system at host %s.\r\n\r\nThe login\r\n\r\n    %.*s\r\n\r\n"
		   "has reached its limit of %llu %s. What it sends on top of that is answered\r\n"
		   "with 450 for another %llu seconds, and then the count starts anew. If nobody sends\r\n"
		   "that much on purpose, somebody else may have the password: change it.\r\n\r\n"
		   "You are told once, until the login has kept within its limit for a while.\r\n"
		   "The limits are smtpd_sasl_message_rate_limit, smtpd_sasl_recipient_rate_limit\r\n"
		   "and smtpd_sasl_rate_time_unit.\r\n",
		   s->myhostname, SLICE_FMT(user), (unsigned long long)verdict->limit, what,
		   (unsigned long long)verdict->seconds);
}

static void describe(struct slice text, struct message_content *content)
{
	uint32_t line = 0;

	*content = (struct message_content){ .length = text.len, .header_length = text.len };
	for (size_t i = 0; i < text.len; i++) {
		content->eight_bit |= (unsigned char)text.ptr[i] > 127;
		content->leading_dots |= line == 0 && text.ptr[i] == '.';
		line = text.ptr[i] == '\n' ? 0 : line + 1;
		if (line > content->longest_line)
			content->longest_line = line;
		if (content->header_length == text.len && i >= 3 && memcmp(text.ptr + i - 3, "\r\n\r\n", 4) == 0)
			content->header_length = i + 1;
	}
}

bool notice_send(struct ipc_client *cleanup, const struct notice_settings *s, struct slice text, struct err *err)
{
	struct message_recipient to = { .address = slice_of(s->recipient), .status = RECIPIENT_PENDING,
					.notify = NOTIFY_NEVER };
	struct message_envelope envelope = { .origin = ORIGIN_BOUNCE, .recipients = &to, .recipient_count = 1,
					     .arrival = loop_now() };
	struct cleanup_session session;
	struct cleanup_refusal refusal = { 0 };
	struct message_content content;

	if (!cleanup_open(&session, cleanup, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	if (pwrite(session.fd, text.ptr, text.len, MESSAGE_CONTENT_OFFSET) != (ssize_t)text.len) {
		cleanup_abort(&session);
		return err_set_errno(err, ERR_TEMPORARY, "write notice");
	}
	describe(text, &content);
	if (!cleanup_commit(&session, &envelope, &content, loop_now() + TIMEOUT, &refusal))
		return err_set(err, ERR_TEMPORARY, "%s", refusal.text);
	return true;
}
