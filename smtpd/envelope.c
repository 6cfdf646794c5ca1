/* SPDX-License-Identifier: ISC */
/* MAIL and RCPT: addresses and their parameters (RFC 1870, 3461, 6152, 6531). */
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/mail/address.h"
#include "smtpd/session.h"

#define ENVID_MAX 100
#define ORCPT_MAX 500

static const char UNSUPPORTED[] = "Unsupported option";

/* --- parameters --- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext of RFC 3461 §4; nothing but printable text may come out of it. */
static bool decode_xtext(struct slice in, struct arena *arena, struct slice *out)
{
	char *text = arena_alloc(arena, in.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];

		if (c == '+') {
			int high = i + 2 < in.len ? hex(in.ptr[i + 1]) : -1;
			int low = i + 2 < in.len ? hex(in.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high * 16 + low;
			i += 2;
		}
		if (c < 32 || c == 127)
			return false;
		text[len++] = (char)c;
	}
	*out = slice_make(text, len);
	return true;
}

static const char *mail_parameter(struct session *s, struct transaction *t, struct slice name, struct slice value)
{
	struct message_envelope *e = &t->envelope;
	const char *problem;

	if (slice_eq_nocase(name, SLICE("SIZE"))) {
		if (!slice_to_u64(value, &t->announced_size))
			return "Bad message size syntax";
	} else if (slice_eq_nocase(name, SLICE("BODY"))) {
		if (slice_eq_nocase(value, SLICE("8BITMIME")))
			e->body_8bitmime = true;
		else if (!slice_eq_nocase(value, SLICE("7BIT")))
			return UNSUPPORTED;
	} else if (slice_eq_nocase(name, SLICE("SMTPUTF8")) && value.len == 0 && s->settings->smtputf8) {
		e->smtputf8 = true;
	} else if (slice_eq_nocase(name, SLICE("RET"))) {
		if (slice_eq_nocase(value, SLICE("FULL")))
			e->ret = RET_FULL;
		else if (slice_eq_nocase(value, SLICE("HDRS")))
			e->ret = RET_HDRS;
		else
			return "Bad RET parameter syntax";
	} else if (slice_eq_nocase(name, SLICE("ENVID"))) {
		if (value.len == 0 || value.len > ENVID_MAX || !decode_xtext(value, t->arena, &e->envid))
			return "Bad ENVID parameter syntax";
	} else if (slice_eq_nocase(name, SLICE("AUTH")) && s->settings->auth) {
		/* Whose mail it says that it is counts for nothing with us (RFC 4954 §5). */
		if (!auth_parameter_valid(value))
			return "Bad AUTH parameter syntax";
	} else {
		return session_take_extension(s, t, name, value, &problem) ? problem : UNSUPPORTED;
	}
	return NULL;
}

static const char *parse_notify(struct slice value, uint8_t *notify)
{
	struct slice word;

	*notify = 0;
	while (slice_word(&value, ",", &word)) {
		if (slice_eq_nocase(word, SLICE("NEVER")))
			*notify |= NOTIFY_NEVER;
		else if (slice_eq_nocase(word, SLICE("SUCCESS")))
			*notify |= NOTIFY_SUCCESS;
		else if (slice_eq_nocase(word, SLICE("FAILURE")))
			*notify |= NOTIFY_FAILURE;
		else if (slice_eq_nocase(word, SLICE("DELAY")))
			*notify |= NOTIFY_DELAY;
		else
			return "Error: Bad NOTIFY parameter syntax";
	}
	if (*notify == 0 || (*notify & NOTIFY_NEVER && *notify != NOTIFY_NEVER))
		return "Error: Bad NOTIFY parameter syntax";
	return NULL;
}

static const char *rcpt_parameter(struct transaction *t, struct message_recipient *r, struct slice name,
				  struct slice value)
{
	if (slice_eq_nocase(name, SLICE("NOTIFY")))
		return parse_notify(value, &r->notify);
	if (slice_eq_nocase(name, SLICE("ORCPT"))) {
		ptrdiff_t semicolon = slice_find(value, ';');

		if (semicolon <= 0 || value.len > ORCPT_MAX || !decode_xtext(value, t->arena, &r->orcpt))
			return "Error: Bad ORCPT parameter syntax";
		return NULL;
	}
	return UNSUPPORTED;
}

/* Answers for a parameter that is not as it should be. */
static bool refuse_parameter(struct session *s, const char *problem, struct slice word)
{
	if (problem == UNSUPPORTED)
		reply(s, 555, "5.5.4", "%s: %.*s", problem, SLICE_FMT(slice_sub(word, 0, 100)));
	else
		reply(s, 501, "5.5.4", "%s", problem);
	return false;
}

/* --- MAIL --- */

/* "FROM:" or "TO:" at the front, in any case. */
static bool take_keyword(struct slice *args, struct slice keyword)
{
	if (!slice_starts_nocase(*args, keyword))
		return false;
	*args = slice_trim(slice_sub(*args, keyword.len, args->len));
	return true;
}

static bool wants_utf8(struct slice args)
{
	struct slice word;

	while (slice_word(&args, " \t", &word))
		if (slice_eq_nocase(word, SLICE("SMTPUTF8")))
			return true;
	return false;
}

static bool mail_parameters(struct session *s, struct transaction *t, struct slice rest)
{
	struct smtp_reply too_big;
	struct slice word;

	while (slice_word(&rest, " \t", &word)) {
		struct slice value = word, name;

		slice_cut(&value, '=', &name);
		const char *problem = mail_parameter(s, t, name, value);

		if (problem)
			return refuse_parameter(s, problem, word);
	}
	if (s->settings->message_size_limit && t->announced_size > s->settings->message_size_limit) {
		reply_set(&too_big, 552, "5.3.4", "Message size exceeds fixed limit");
		log_reject(s, "MAIL", &too_big, SLICE_NONE);
		reply_with(s, &too_big);
		return false;
	}
	return true;
}

static struct transaction *transaction_create(struct session *s)
{
	struct arena *arena = arena_create(2048);
	struct transaction *t = arena_alloc(arena, sizeof(*t));

	t->arena = arena;
	t->envelope.origin = ORIGIN_SMTP;
	t->envelope.client_name = arena_slice(arena, slice_of(s->client->name));
	t->envelope.client_address = arena_slice(arena, slice_of(s->client->address));
	t->envelope.client_port = arena_slice(arena, slice_of(s->client->port));
	t->envelope.helo = arena_slice(arena, str_slice(&s->helo));
	t->envelope.arrival = loop_now();
	if (s->login.user.len) {
		t->envelope.sasl_method = arena_slice(arena, str_slice(&s->login.method));
		t->envelope.sasl_login = arena_slice(arena, str_slice(&s->login.user));
		t->envelope.show_login = s->settings->auth->header;
	}
	return t;
}

void command_mail(struct session *s, struct slice args)
{
	struct transaction *t;
	struct slice sender, rest;
	struct err err;

	if (s->settings->helo_required && s->helo.len == 0) {
		reply(s, 503, "5.5.1", "Error: send HELO/EHLO first");
		return;
	}
	if (s->transaction) {
		reply(s, 503, "5.5.1", "Error: nested MAIL command");
		return;
	}
	if (s->bdat_failed) {
		reply(s, 503, "5.5.1", "Error: MAIL after BDAT");
		return;
	}
	if (!take_keyword(&args, SLICE("FROM:")) || args.len == 0) {
		reply(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
		return;
	}
	t = transaction_create(s);
	s->transaction = t;
	if (!address_parse_path(args, s->settings->strict_envelopes, s->settings->smtputf8 && wants_utf8(args), t->arena,
				&sender, &rest, &err)) {
		log_bad_address(s, args);
		reply(s, 501, "5.1.7", "Bad sender address syntax");
		transaction_free(s);
		return;
	}
	t->envelope.sender = sender;
	if (!mail_parameters(s, t, rest)) {
		transaction_free(s);
		return;
	}
	if (!session_count(s, EVENT_MESSAGE) || !session_ask(s, POLICY_SENDER, SLICE_NONE) ||
	    !session_count_message(s)) {
		transaction_free(s);
		return;
	}
	t->envelope.protocol = slice_of(protocol_name(s));
	session_describe_tls(s, t->arena, &t->envelope);
	reply(s, 250, "2.1.0", "Ok");
}

/* --- RCPT --- */

static bool rcpt_parameters(struct session *s, struct transaction *t, struct message_recipient *r,
			    struct slice rest)
{
	struct slice word;

	while (slice_word(&rest, " \t", &word)) {
		struct slice value = word, name;

		slice_cut(&value, '=', &name);
		const char *problem = rcpt_parameter(t, r, name, value);

		if (problem)
			return refuse_parameter(s, problem, word);
	}
	return true;
}

static bool over_limit(struct session *s, struct transaction *t)
{
	if ((long)t->envelope.recipient_count < s->settings->recipient_limit)
		return false;
	reply(s, 452, "4.5.3", "Error: too many recipients");
	/* Honest clients run into this; only beyond the overshoot it is an error. */
	if (t->overshoot++ < s->settings->recipient_overshoot_limit) {
		s->errors--;
		s->failed = false;
	}
	return true;
}

void transaction_add_recipient(struct transaction *t, const struct message_recipient *r)
{
	struct message_envelope *e = &t->envelope;

	if (e->recipient_count == t->capacity) {
		size_t bigger = t->capacity ? t->capacity * 2 : 4;
		struct message_recipient *more = arena_alloc(t->arena, bigger * sizeof(*more));

		if (e->recipient_count)
			memcpy(more, e->recipients, e->recipient_count * sizeof(*more));
		e->recipients = more;
		t->capacity = bigger;
	}
	e->recipients[e->recipient_count++] = *r;
}

static void log_client(struct session *s, struct transaction *t)
{
	struct str more = { 0 };

	if (s->login.user.len)
		str_printf(&more, ", sasl_method=%s, sasl_username=%s", str_cstr(&s->login.method), str_cstr(&s->login.user));
	session_describe_origin(s, &more);
	log_info("%s: client=%s[%s]%s", s->ops->queue_id(t->file), s->client->name, s->client->address, str_cstr(&more));
	str_free(&more);
}

static bool open_file(struct session *s, struct transaction *t)
{
	struct smtp_reply refusal = { 0 };

	if (t->file)
		return true;
	t->file = s->ops->open(s->ops->context, &refusal);
	if (!t->file) {
		log_reject(s, "RCPT", &refusal, SLICE_NONE);
		reply_with(s, &refusal);
		return false;
	}
	log_client(s, t);
	return true;
}

void command_rcpt(struct session *s, struct slice args)
{
	struct transaction *t = s->transaction;
	struct message_recipient r = { .status = RECIPIENT_PENDING };
	struct slice rest;
	struct err err;

	if (s->bdat_failed || (t && t->bdat)) {
		reply(s, 503, "5.5.1", "Error: RCPT after BDAT");
		return;
	}
	if (!t) {
		reply(s, 503, "5.5.1", "Error: need MAIL command");
		return;
	}
	if (!take_keyword(&args, SLICE("TO:")) || args.len == 0) {
		reply(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
		return;
	}
	if (over_limit(s, t))
		return;
	if (!address_parse_path(args, s->settings->strict_envelopes, t->envelope.smtputf8, t->arena, &r.address,
				&rest, &err) ||
	    r.address.len == 0) {
		log_bad_address(s, args);
		reply(s, 501, "5.1.3", "Bad recipient address syntax");
		return;
	}
	if (!rcpt_parameters(s, t, &r, rest))
		return;
	if (!session_count(s, EVENT_RECIPIENT) || !session_ask(s, POLICY_RECIPIENT, r.address) || !session_count_recipient(s) ||
	    !open_file(s, t))
		return;
	transaction_add_recipient(t, &r);
	reply(s, 250, "2.1.5", "Ok");
}
