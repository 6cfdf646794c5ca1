/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/client.h"

#include <stdlib.h>

#include "common/base/task.h"
#include "common/mail/address.h"
#include "delivery/smtp/forward.h"

#define BATCH       100     /* commands sent before their replies are read */
#define CHUNK_EARLY 32768u  /* a chunk up to this size goes out with the envelope */
#define LATE_REPLY  1.0     /* seconds for a reply that explains a broken connection */
#define REPLY_TEXT  1000    /* of a successful reply, in the log */

/* One transaction: commands are numbered, RSET (if any), MAIL, each RCPT, DATA or BDAT. */
enum command { COMMAND_RSET, COMMAND_FORWARD, COMMAND_MAIL, COMMAND_RCPT, COMMAND_DATA, COMMAND_BDAT };

struct transaction {
	struct smtp_delivery *d;
	struct smtp_session *s;
	size_t *order;        /* recipients concerned, by index */
	size_t count;
	bool reset;           /* RSET comes first */
	struct slice forward[SMTP_FORWARD_MAX]; /* XFORWARD commands before MAIL */
	size_t forward_count;
	size_t sent, received;/* commands */
	size_t accepted;
	bool chunk;           /* BDAT in place of DATA */
	bool early;           /* BDAT goes with the envelope */
	bool chunk_sent;      /* content is on its way */
	bool stopped;         /* nothing more is sent */
	bool go;              /* 354 was said, or the chunk's turn has come */
};

void smtp_decide(struct smtp_delivery *d, size_t index, enum delivery_outcome outcome,
		 const struct smtp_failure *failure)
{
	struct smtp_recipient *r = &d->recipient[index];

	if (r->decided)
		return;
	r->decided = true;
	r->outcome = outcome;
	if (failure)
		r->failure = *failure;
	d->undecided--;
	if (d->on_decided)
		d->on_decided(d, index);
}

void smtp_decide_all(struct smtp_delivery *d, enum delivery_outcome outcome, const struct smtp_failure *failure)
{
	for (size_t i = 0; i < d->count; i++)
		smtp_decide(d, i, outcome, failure);
}

/* --- what a failure means --- */

/* A recipient was refused: for good, or left for another server. */
static void fail_one(struct transaction *t, size_t index, const struct smtp_failure *failure)
{
	struct smtp_recipient *r = &t->d->recipient[index];

	r->accepted = false;
	r->tried = true;
	r->failure = *failure;
	if (failure->permanent)
		smtp_decide(t->d, index, DELIVERY_BOUNCED, failure);
}

/* All that this transaction still has to do with. */
static void fail_rest(struct transaction *t, const struct smtp_failure *failure)
{
	for (size_t i = 0; i < t->count; i++) {
		struct smtp_recipient *r = &t->d->recipient[t->order[i]];

		/* What one recipient was told already says more than the whole's failure. */
		if (!r->decided && (r->accepted || !r->tried))
			fail_one(t, t->order[i], failure);
	}
	t->accepted = 0;
}

static void lose(struct transaction *t, const struct smtp_failure *failure)
{
	t->stopped = true;
	t->d->failed_session = true;
	t->d->last = *failure;
	fail_rest(t, failure);
}

/* --- what we say --- */

static void put_mail(struct transaction *t, struct str *out)
{
	const struct message_envelope *e = &t->d->job->envelope;
	unsigned features = t->s->features;

	str_append(out, SLICE("MAIL FROM:<"));
	if (t->d->sender.len > 0)
		str_append(out, address_quote(t->d->arena, t->d->sender));
	str_append_byte(out, '>');
	if (features & SMTP_SIZE)
		str_printf(out, " SIZE=%llu", (unsigned long long)t->d->content.size);
	if ((features & SMTP_8BITMIME) && e->body_8bitmime)
		str_append(out, SLICE(" BODY=8BITMIME"));
	/* RFC 4954, section 5: we vouch for nobody. */
	if (t->s->logged_in)
		str_append(out, SLICE(" AUTH=<>"));
	if ((features & SMTP_SMTPUTF8) && e->smtputf8)
		str_append(out, SLICE(" SMTPUTF8"));
	if (features & SMTP_DSN) {
		if (e->ret != RET_NONE)
			str_append_text(out, e->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
		if (e->envid.len > 0) {
			str_append(out, SLICE(" ENVID="));
			smtp_put_xtext(out, e->envid);
		}
	}
	if ((features & SMTP_DELIVERBY) && e->deliver_by > 0) {
		double left = e->deliver_by - loop_now();

		/* Nine digits; what is to come back at its deadline has at least a second (RFC 2852 section 4). */
		left = left > 999999999 ? 999999999 : left < -999999999 ? -999999999 : left;
		if (e->by_return && left < 1)
			left = 1;
		str_printf(out, " BY=%ld;%c%s", (long)left, e->by_return ? 'R' : 'N', e->by_trace ? "T" : "");
	}
	str_append(out, SLICE("\r\n"));
}

static void put_notify(struct str *out, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" } };
	bool first = true;

	str_append(out, SLICE(" NOTIFY="));
	if (notify & NOTIFY_NEVER)
		str_append(out, SLICE("NEVER"));
	for (size_t i = 0; i < 3 && !(notify & NOTIFY_NEVER); i++) {
		if (!(notify & words[i].bit))
			continue;
		if (!first)
			str_append_byte(out, ',');
		str_append_text(out, words[i].word);
		first = false;
	}
}

static void put_rcpt(struct transaction *t, const struct smtp_recipient *to, struct str *out)
{
	const struct message_recipient *r = to->recipient;
	struct slice type, text = r->orcpt;

	str_append(out, SLICE("RCPT TO:<"));
	str_append(out, address_quote(t->d->arena, to->wire));
	str_append_byte(out, '>');
	if (t->s->features & SMTP_DSN) {
		if (r->notify)
			put_notify(out, r->notify);
		if (text.len > 0 && slice_find(text, ';') > 0) {
			(void)slice_cut(&text, ';', &type);
			str_append(out, SLICE(" ORCPT="));
			smtp_put_xtext(out, type);
			str_append_byte(out, ';');
			smtp_put_xtext(out, text);
		}
	}
	str_append(out, SLICE("\r\n"));
}

/* The command's kind; *recipient is the index of RCPT's. */
static enum command command_at(const struct transaction *t, size_t number, size_t *recipient)
{
	*recipient = 0;
	if (number < t->reset)
		return COMMAND_RSET;
	number -= t->reset;
	*recipient = number;
	if (number < t->forward_count)
		return COMMAND_FORWARD;
	number -= t->forward_count;
	*recipient = 0;
	if (number == 0)
		return COMMAND_MAIL;
	if (number <= t->count) {
		*recipient = t->order[number - 1];
		return COMMAND_RCPT;
	}
	return t->chunk ? COMMAND_BDAT : COMMAND_DATA;
}

static void put_command(struct transaction *t, enum command command, size_t recipient, struct str *out)
{
	switch (command) {
	case COMMAND_RSET:
		str_append(out, SLICE("RSET\r\n"));
		break;
	case COMMAND_FORWARD:
		str_append(out, t->forward[recipient]);
		break;
	case COMMAND_MAIL:
		put_mail(t, out);
		break;
	case COMMAND_RCPT:
		put_rcpt(t, &t->d->recipient[recipient], out);
		break;
	case COMMAND_DATA:
		str_append(out, SLICE("DATA\r\n"));
		break;
	case COMMAND_BDAT:
		str_printf(out, "BDAT %llu LAST\r\n", (unsigned long long)t->d->content.size);
		t->chunk_sent = true;
		break;
	}
}

/* Puts the next commands into the stream's buffer: one, or a batch with PIPELINING. */
static enum stream_status send_batch(struct transaction *t)
{
	/* A probe ends with the replies to RCPT. */
	size_t total = t->reset + t->forward_count + 1 + t->count + (t->d->job->probe ? 0 : 1);
	size_t batch = (t->s->features & SMTP_PIPELINING) ? BATCH : 1;
	enum stream_status status = STREAM_OK;
	struct str out = { 0 };

	for (size_t n = 0; n < batch && t->sent < total; n++) {
		size_t recipient;
		enum command command = command_at(t, t->sent, &recipient);
		bool last = command == COMMAND_DATA || command == COMMAND_BDAT;

		/* All refused: nothing to send.  BDAT waits for the replies unless it is sent early. */
		if (last && t->received == t->sent && t->accepted == 0)
			break;
		if (command == COMMAND_BDAT && !t->early && t->received < t->sent)
			break;
		put_command(t, command, recipient, &out);
		t->sent++;
	}
	if (out.len > 0)
		status = stream_write(t->s->stream, str_slice(&out));
	str_free(&out);
	if (status == STREAM_OK && t->chunk_sent && t->sent == total)
		status = content_send_chunk(&t->d->content, t->s->stream, t->d->settings->data_xfer_timeout);
	return status;
}

/* --- what the server says --- */

/* Who tells the sender. */
static enum delivery_action action_of(const struct transaction *t)
{
	const struct message_envelope *e = &t->d->job->envelope;

	if (e->deliver_by > 0 && !t->d->settings->lmtp && (!(t->s->features & SMTP_DELIVERBY) || e->by_trace))
		return ACTION_TRACED;
	if (t->s->features & SMTP_DSN)
		return ACTION_PASSED;
	return t->d->settings->lmtp ? ACTION_DELIVERED : ACTION_RELAYED;
}

/* The server took the message: for one recipient (LMTP), or for all. */
static void sent_to(struct transaction *t, size_t index)
{
	struct smtp_failure ok = { 0 };

	smtp_fail(&ok, t->d->arena, t->s->reply.dsn, "%.*s",
		  SLICE_FMT(smtp_reply_text(&t->s->reply, REPLY_TEXT, t->d->arena)));
	ok.relay = arena_slice(t->d->arena, slice_of(t->s->relay));
	t->d->recipient[index].action = action_of(t);
	smtp_decide(t->d, index, DELIVERY_SENT, &ok);
}

static void on_rcpt_reply(struct transaction *t, size_t index)
{
	struct smtp_failure failure;

	if (t->stopped || t->d->recipient[index].decided)
		return; /* MAIL was refused: this only echoes it */
	if (t->s->reply.code / 100 == 2) {
		t->d->recipient[index].accepted = true;
		t->accepted++;
		if (t->d->job->probe)
			sent_to(t, index);
		return;
	}
	smtp_session_refused(t->s, "RCPT TO", t->d->arena, &failure);
	/* RFC 5321 section 4.5.3.1.10: too many recipients, the rest later. */
	if (t->s->reply.code == 552 && t->accepted > 0) {
		failure.permanent = false;
		failure.dsn[0] = '4';
	}
	fail_one(t, index, &failure);
}

static void on_mail_refused(struct transaction *t, const char *command)
{
	struct smtp_failure failure;

	smtp_session_refused(t->s, command, t->d->arena, &failure);
	fail_rest(t, &failure);
	/* An answer that fits no question: we are out of step. */
	if (t->s->reply.code < 400)
		t->s->broken = true;
	if (t->s->broken)
		lose(t, &failure);
}

static void on_final_reply(struct transaction *t, const char *command)
{
	if (t->s->reply.code / 100 != 2) {
		on_mail_refused(t, command);
		return;
	}
	for (size_t i = 0; i < t->count; i++)
		if (t->d->recipient[t->order[i]].accepted)
			sent_to(t, t->order[i]);
}

/* After the end of data.  LMTP answers for each recipient that it accepted, in order. */
static void read_final(struct transaction *t, const char *command)
{
	const char *doing = "sending end of data -- message may be sent more than once";
	const struct smtp_settings *set = t->d->settings;
	struct smtp_failure failure;

	if (!set->lmtp) {
		if (!smtp_session_reply(t->s, doing, set->data_done_timeout, t->d->arena, &failure))
			lose(t, &failure);
		else
			on_final_reply(t, command);
		return;
	}
	for (size_t i = 0; i < t->count; i++) {
		struct smtp_recipient *r = &t->d->recipient[t->order[i]];

		if (!r->accepted || r->decided)
			continue;
		if (!smtp_session_reply(t->s, doing, set->data_done_timeout, t->d->arena, &failure)) {
			lose(t, &failure);
			return;
		}
		if (t->s->reply.code / 100 == 2) {
			sent_to(t, t->order[i]);
			continue;
		}
		smtp_session_refused(t->s, command, t->d->arena, &failure);
		fail_one(t, t->order[i], &failure);
	}
}

/* Writing failed: the server may have said why before it hung up. */
static void content_failed(struct transaction *t, enum stream_status status)
{
	struct smtp_failure failure, ignored;

	smtp_session_lost(t->s, status, "sending message body", t->d->arena, &failure);
	if (status == STREAM_ERROR && t->accepted > 0 &&
	    smtp_session_reply(t->s, "sending message body", LATE_REPLY, t->d->arena, &ignored) &&
	    t->s->reply.code >= 400)
		smtp_session_refused(t->s, "end of DATA", t->d->arena, &failure);
	t->s->broken = true;
	lose(t, &failure);
}

/* The server has said 354. */
static void send_data(struct transaction *t)
{
	enum stream_status status;
	struct smtp_failure ignored;

	if (t->accepted == 0) {
		/* It should not have: nobody is to get this. */
		if (t->d->settings->lmtp) {
			t->s->broken = true;
			return;
		}
		(void)stream_write(t->s->stream, SLICE(".\r\n"));
		(void)smtp_session_reply(t->s, "sending end of data", t->d->settings->data_done_timeout, t->d->arena,
					 &ignored);
		return;
	}
	status = content_send_data(&t->d->content, t->s->stream, t->d->settings->line_limit,
				   t->d->settings->data_xfer_timeout);
	if (status != STREAM_OK)
		content_failed(t, status);
	else
		read_final(t, "end of DATA");
}

/* False ends the transaction. */
static bool on_reply(struct transaction *t, enum command command, size_t recipient)
{
	int class = t->s->reply.code / 100;
	struct smtp_failure failure;

	switch (command) {
	case COMMAND_RSET:
		if (class == 2)
			return true;
		t->s->broken = true;
		smtp_session_refused(t->s, "RSET", t->d->arena, &failure);
		failure.permanent = false;
		failure.dsn[0] = '4';
		lose(t, &failure);
		return false;
	case COMMAND_FORWARD:
		/* Whoever refuses it takes the mail all the same, as ours. */
		return !t->s->broken;
	case COMMAND_MAIL:
		if (class != 2) {
			on_mail_refused(t, "MAIL FROM");
			t->stopped = true;
		}
		return true;
	case COMMAND_RCPT:
		on_rcpt_reply(t, recipient);
		return true;
	case COMMAND_DATA:
		if (t->s->reply.code == 354)
			t->go = true;
		else if (t->accepted > 0)
			on_mail_refused(t, "DATA");
		return false;
	case COMMAND_BDAT:
		if (t->accepted > 0)
			on_final_reply(t, "BDAT");
		return false;
	}
	return false;
}

static bool read_reply(struct transaction *t)
{
	static const char *const doing[] = { "sending final RSET", "sending XFORWARD", "sending MAIL FROM", "sending RCPT TO",
					     "sending DATA command",
					     "sending end of data -- message may be sent more than once" };
	const struct smtp_settings *set = t->d->settings;
	size_t recipient;
	enum command command = command_at(t, t->received, &recipient);
	double timeout = command == COMMAND_RSET   ? set->rset_timeout
			 : command == COMMAND_MAIL || command == COMMAND_FORWARD ? set->mail_timeout
			 : command == COMMAND_RCPT ? set->rcpt_timeout
			 : command == COMMAND_DATA ? set->data_init_timeout
						   : set->data_done_timeout;
	struct smtp_failure failure;

	if (command == COMMAND_BDAT && set->lmtp) {
		read_final(t, "BDAT");
		return false;
	}
	if (!smtp_session_reply(t->s, doing[command], timeout, t->d->arena, &failure)) {
		lose(t, &failure);
		return false;
	}
	t->received++;
	return on_reply(t, command, recipient);
}

static void converse(struct transaction *t)
{
	for (;;) {
		if (t->received == t->sent && !t->stopped) {
			stream_set_timeout(t->s->stream, t->d->settings->data_xfer_timeout);
			enum stream_status status = send_batch(t);

			if (status != STREAM_OK) {
				content_failed(t, status);
				return;
			}
		}
		if (t->received == t->sent || t->s->broken)
			break;
		if (!read_reply(t))
			break;
	}
	if (t->s->broken && t->d->undecided > 0 && !t->d->failed_session) {
		/* 421 to a RCPT, others had been accepted */
		struct smtp_failure failure;

		smtp_session_refused(t->s, "RCPT TO", t->d->arena, &failure);
		lose(t, &failure);
	}
	if (t->go && !t->s->broken)
		send_data(t);
}

/* --- checks before anything is said --- */

static bool speakable(struct slice address)
{
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.ptr[i] < 32 || address.ptr[i] == 127)
			return false;
	return true;
}

static bool needs_utf8(const struct smtp_delivery *d)
{
	const struct message_envelope *e = &d->job->envelope;

	if (!e->smtputf8)
		return false;
	if (d->content.header_utf8 || !address_is_ascii(d->sender))
		return true;
	for (size_t i = 0; i < d->count; i++)
		if (!d->recipient[i].decided && !address_is_ascii(d->recipient[i].wire))
			return true;
	return false;
}

/* False: this message cannot go to this server, all is decided. */
static bool acceptable(struct smtp_delivery *d, const struct smtp_session *s)
{
	struct smtp_failure f;

	if (!speakable(d->sender)) {
		smtp_fail(&f, d->arena, "5.1.7", "sender address has control characters");
		smtp_decide_all(d, DELIVERY_BOUNCED, &f);
	}
	for (size_t i = 0; i < d->count; i++) {
		if (d->recipient[i].decided || speakable(d->recipient[i].wire))
			continue;
		smtp_fail(&f, d->arena, "5.1.3", "recipient address has control characters");
		smtp_decide(d, i, DELIVERY_BOUNCED, &f);
	}
	if (!(s->features & SMTP_SMTPUTF8) && needs_utf8(d)) {
		smtp_fail(&f, d->arena, "5.6.7", "SMTPUTF8 is required, but was not offered by host %s", s->name);
		f.relay = arena_slice(d->arena, slice_of(s->relay));
		smtp_decide_all(d, DELIVERY_BOUNCED, &f);
	}
	/* RFC 2852 section 4.1.4.2: whoever comes next would not return it in time. */
	if (d->job->envelope.by_return && !d->settings->lmtp && !(s->features & SMTP_DELIVERBY)) {
		smtp_fail(&f, d->arena, "5.3.3", "delivery by a time is required, but was not offered by host %s", s->name);
		f.relay = arena_slice(d->arena, slice_of(s->relay));
		smtp_decide_all(d, DELIVERY_BOUNCED, &f);
	}
	if ((s->features & SMTP_SIZE) && s->size_limit > 0 && d->content.size > s->size_limit) {
		smtp_fail(&f, d->arena, "5.3.4", "message size %llu exceeds size limit %llu of server %s",
			  (unsigned long long)d->content.size, (unsigned long long)s->size_limit, s->name);
		f.relay = arena_slice(d->arena, slice_of(s->relay));
		smtp_decide_all(d, DELIVERY_BOUNCED, &f);
	}
	return d->undecided > 0;
}

void smtp_transaction(struct smtp_delivery *d, struct smtp_session *s)
{
	struct transaction t = { .d = d, .s = s };

	d->session = s;
	d->failed_session = false;
	s->uses++;
	if (!acceptable(d, s)) {
		d->session = NULL;
		return;
	}
	t.order = arena_alloc(d->arena, d->count * sizeof(*t.order));
	for (size_t i = 0; i < d->count; i++) {
		if (d->recipient[i].decided)
			continue;
		d->recipient[i].accepted = d->recipient[i].tried = false;
		t.order[t.count++] = i;
	}
	t.reset = s->needs_rset;
	t.forward_count = smtp_forward_commands(d, s->features, t.forward);
	t.chunk = (s->features & SMTP_CHUNKING) && content_can_chunk(&d->content);
	t.early = t.chunk && !d->settings->lmtp && (s->features & SMTP_PIPELINING) &&
		  content_in_memory(&d->content) && d->content.size <= CHUNK_EARLY;
	s->needs_rset = false;
	converse(&t);
	/* After an accepted message there is no transaction; otherwise it may be half open. */
	if (!s->broken && (t.stopped || s->reply.code / 100 != 2 || !(t.go || t.chunk_sent)))
		s->needs_rset = true;
	d->session = NULL;
}
