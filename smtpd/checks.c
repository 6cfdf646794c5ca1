/* SPDX-License-Identifier: ISC */
/* What a session asks of the restrictions, and what they do to it and to its mail. */
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "policy/template.h"
#include "smtpd/session.h"

static const char *instance_of(struct transaction *t)
{
	static unsigned count;

	if (!t->instance)
		t->instance = arena_printf(t->arena, "%x.%lx.%x", (unsigned)getpid(), (unsigned long)(t->envelope.arrival * 1000),
					   count++);
	return t->instance;
}

void session_fill_facts(const struct session *s, struct policy_facts *facts)
{
	struct transaction *t = s->transaction;

	*facts = (struct policy_facts){
		.client = s->client, .tls = s->tls, .command = s->where, .protocol = s->esmtp ? "ESMTP" : "SMTP",
		.queue_id = session_queue_id(s), .helo = str_slice(&s->helo), .login = str_slice(&s->login.user),
		.out_of_turn = s->spoke_early, .login_method = str_slice(&s->login.method),
	};
	if (!t)
		return;
	facts->sender = t->envelope.sender;
	facts->has_sender = true;
	facts->smtputf8 = t->envelope.smtputf8;
	facts->recipient_count = t->envelope.recipient_count;
	facts->size = t->scan.content.length > 0 ? t->scan.content.length : t->announced_size;
	facts->instance = instance_of(t);
	facts->authentication = t->authentication;
}

/* Before MAIL there is no transaction that memory could be of. */
static struct arena *arena_of(struct session *s, enum policy_stage stage)
{
	struct arena **arena = stage == POLICY_CLIENT ? &s->connect_arena : &s->helo_arena;

	if (s->transaction)
		return s->transaction->arena;
	if (!*arena)
		*arena = arena_create(512);
	return *arena;
}

void session_forget_helo(struct session *s)
{
	s->policy = s->at_connect;
	if (s->helo_arena)
		arena_free(&s->helo_arena);
}

bool session_ask_quietly(struct session *s, enum policy_stage stage, struct slice recipient, struct smtp_reply *refusal)
{
	struct transaction *t = s->transaction;
	struct policy_facts facts;
	struct policy_question question = { stage, &facts, &s->policy, t ? &t->policy : &s->policy, arena_of(s, stage) };

	session_fill_facts(s, &facts);
	facts.recipient = recipient;
	/* The only one: as at RCPT. */
	if ((stage == POLICY_DATA || stage == POLICY_END_OF_DATA) && facts.recipient_count == 1)
		facts.recipient = t->envelope.recipients[0].address;
	if (stage == POLICY_END_OF_DATA)
		facts.command = "END-OF-MESSAGE";
	return s->ops->ask(s->ops->context, &question, refusal);
}

bool session_ask(struct session *s, enum policy_stage stage, struct slice recipient)
{
	struct smtp_reply refusal = { 0 };

	bool ok = session_ask_quietly(s, stage, recipient, &refusal);

	if (stage == POLICY_CLIENT)
		s->at_connect = s->policy;
	if (ok)
		return true;
	reply_with(s, &refusal);
	return false;
}

bool session_authenticate(struct session *s)
{
	struct transaction *t = s->transaction;
	struct policy_facts facts;
	struct authentication_message message = { .facts = &facts, .fd = s->ops->descriptor(t->file),
						  .length = t->scan.content.length, .arena = t->arena };
	struct authentication_effect effect = { 0 };
	struct smtp_reply refusal = { 0 };

	if (!s->ops->authenticate)
		return true;
	session_fill_facts(s, &facts);
	facts.command = "END-OF-MESSAGE";
	if (!s->ops->authenticate(s->ops->context, &message, &effect, &refusal)) {
		reply_with(s, &refusal);
		return false;
	}
	t->authentication = effect.answer;
	t->envelope.foreign = effect.foreign;
	t->envelope.hold |= effect.hold;
	if (effect.filter.len)
		t->envelope.filter = effect.filter;
	if (effect.answer)
		t->envelope.prepend = effect.answer->header;
	return true;
}

bool session_count(struct session *s, enum smtpd_event event)
{
	struct smtp_reply refusal = { 0 };

	/* Proxies are not counted, but those for whom they speak. */
	if (!s->ops->count || session_is_proxy(s) || s->ops->count(s->ops->context, event, s->client, &refusal))
		return true;
	reply_with(s, &refusal);
	/* Who connects too often is not talked to. */
	s->quit = s->quit || event == EVENT_CONNECT;
	return false;
}

static void take(const struct policy_effects *from, struct transaction *t)
{
	struct message_envelope *e = &t->envelope;

	if (from->filter.len)
		e->filter = arena_slice(t->arena, from->filter);
	if (from->redirect.len)
		e->redirect = arena_slice(t->arena, from->redirect);
	if (from->prepend.len)
		e->prepend = slice_of(arena_printf(t->arena, "%.*s%.*s", SLICE_FMT(e->prepend), SLICE_FMT(from->prepend)));
	e->hold |= from->hold;
	e->discard |= from->discard;
	e->rewrite_header |= from->from_here;
	for (size_t i = 0; i < from->bcc_count; i++) {
		struct message_recipient r = { .address = arena_slice(t->arena, from->bcc[i]), .status = RECIPIENT_PENDING,
					       .notify = NOTIFY_NEVER };

		transaction_add_recipient(t, &r);
	}
}

void session_take_effects(struct session *s, struct transaction *t)
{
	take(&s->policy.effects, t);
	take(&t->policy.effects, t);
	if (t->envelope.filter.len == 0 && s->settings->content_filter)
		t->envelope.filter = slice_of(s->settings->content_filter);
}

/* --- footers --- */

/* A table may have one for this reply. */
static const char *footer_template(const struct session *s, const struct smtp_reply *r, const char *text, struct arena *arena)
{
	struct slice value;
	struct err err;

	if (!s->settings->reject_footer_maps)
		return s->settings->reject_footer;
	switch (table_list_lookup(s->settings->reject_footer_maps,
				  slice_of(arena_printf(arena, "%d %s%s%s", r->code, r->dsn, r->dsn[0] ? " " : "", text)), arena, &value,
				  &err)) {
	case TABLE_FOUND:
		return arena_cstr(arena, value);
	case TABLE_ERROR:
		log_warning("smtpd_reject_footer_maps: %s", err.text);
		break;
	case TABLE_NOT_FOUND:
		break;
	}
	return s->settings->reject_footer;
}

bool session_footer(const struct session *s, const struct smtp_reply *r, const char *text, struct str *footer)
{
	struct policy_facts facts;
	struct arena *arena;
	struct str raw = { 0 };
	const char *template;
	struct err err;

	if (!s->settings->reject_footer_maps && (!s->settings->reject_footer || !*s->settings->reject_footer))
		return false;
	arena = arena_create(0);
	template = footer_template(s, r, text, arena);
	session_fill_facts(s, &facts);
	if (template && *template && !template_expand(&raw, template, &facts, s->settings->myhostname, NULL, &err))
		log_warning("smtpd_reject_footer: %s", err.text);
	for (size_t i = 0; i < raw.len; i++) {
		bool newline = raw.data[i] == '\\' && raw.data[i + 1] == 'n';

		str_append_byte(footer, newline ? '\n' : (unsigned char)raw.data[i] < ' ' ? '?' : raw.data[i]);
		i += newline;
	}
	str_free(&raw);
	arena_free(&arena);
	return footer->len > 0;
}
