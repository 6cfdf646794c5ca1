/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "common/tls/tls_stream.h"
#include "delivery/smtp/login.h"

#define TEXT_MAX 4000   /* of a reply in a result */

struct smtp_session *smtp_session_create(struct stream *stream, const struct smtp_target *target, struct slice nexthop)
{
	struct smtp_session *s = mem_alloc(sizeof(*s));
	struct str text = { 0 };

	s->stream = stream;
	s->nexthop = mem_slicedup(nexthop);
	s->host = mem_slicedup(target->host);
	s->port = target->port;
	s->address = mem_slicedup(target->text);
	str_printf(&text, "%.*s[%.*s]", SLICE_FMT(target->host), SLICE_FMT(target->text));
	s->name = mem_strdup(str_cstr(&text));
	if (target->port)
		str_printf(&text, ":%u", target->port);
	s->relay = str_detach(&text);
	s->opened = loop_now();
	return s;
}

void smtp_session_free(struct smtp_session **sp)
{
	struct smtp_session *s = *sp;

	if (!s)
		return;
	/* One attempt, never waited for: the server can do without it. */
	if (s->farewell && !s->broken)
		tls_say(s->stream, SLICE("QUIT\r\n"));
	stream_free(&s->stream);
	smtp_reply_free(&s->reply);
	free(s->nexthop);
	free(s->host);
	free(s->name);
	free(s->relay);
	free(s->address);
	free(s);
	*sp = NULL;
}

void smtp_session_lost(struct smtp_session *s, enum stream_status status, const char *doing, struct arena *arena,
		       struct smtp_failure *failure)
{
	s->broken = true;
	if (status == STREAM_TIMEOUT)
		smtp_fail(failure, arena, "4.4.2", "conversation with %s timed out while %s", s->name, doing);
	else if (status == STREAM_CANCELLED)
		smtp_fail(failure, arena, "4.3.2", "delivery to %s ended by shutdown while %s", s->name, doing);
	else
		smtp_fail(failure, arena, "4.4.2", "lost connection with %s while %s", s->name, doing);
	failure->relay = arena_slice(arena, slice_of(s->relay));
}

bool smtp_session_reply(struct smtp_session *s, const char *doing, double timeout, struct arena *arena,
			struct smtp_failure *failure)
{
	enum stream_status status;

	stream_set_timeout(s->stream, timeout);
	status = smtp_reply_read(&s->reply, s->stream);
	if (status != STREAM_OK) {
		smtp_session_lost(s, status, doing, arena, failure);
		return false;
	}
	if (s->reply.code == 0) {
		s->broken = true;
		smtp_fail(failure, arena, "4.5.0", "host %s sent a malformed reply while %s: %.*s", s->name, doing,
			  SLICE_FMT(smtp_reply_text(&s->reply, 200, arena)));
		failure->relay = arena_slice(arena, slice_of(s->relay));
		return false;
	}
	/* 421 announces that the server hangs up. */
	if (s->reply.code == 421)
		s->broken = true;
	return true;
}

/* A code that has no business there is nobody's permanent failure. */
static const char *failure_dsn(const struct smtp_reply *reply)
{
	return reply->code >= 400 ? reply->dsn : "4.5.0";
}

void smtp_session_refused(const struct smtp_session *s, const char *in_reply_to, struct arena *arena,
			  struct smtp_failure *failure)
{
	struct slice text = smtp_reply_text(&s->reply, TEXT_MAX, arena);

	if (in_reply_to)
		smtp_fail(failure, arena, failure_dsn(&s->reply), "host %s said: %.*s (in reply to %s command)",
			  s->name, SLICE_FMT(text), in_reply_to);
	else
		smtp_fail(failure, arena, failure_dsn(&s->reply), "host %s refused to talk to me: %.*s", s->name,
			  SLICE_FMT(text));
	failure->remote = text;
	failure->relay = arena_slice(arena, slice_of(s->relay));
}

/* --- greeting and EHLO --- */

/* Several lines add up ("AUTH=" is what old servers say beside it). */
static void take_mechanisms(struct smtp_session *s, struct slice line)
{
	size_t used = strlen(s->mechanisms);
	struct slice word;

	s->features |= SMTP_AUTH;
	while (slice_word(&line, " \t=", &word)) {
		if (used + word.len + 2 > sizeof(s->mechanisms))
			return;
		memcpy(s->mechanisms + used, word.ptr, word.len);
		used += word.len;
		s->mechanisms[used++] = ' ';
		s->mechanisms[used] = '\0';
	}
}

static void take_forward(struct smtp_session *s, struct slice line)
{
	static const struct {
		struct slice word;
		enum smtp_feature feature;
	} known[] = {
		{ SLICE("NAME"), SMTP_XF_NAME }, { SLICE("ADDR"), SMTP_XF_ADDR },   { SLICE("PORT"), SMTP_XF_PORT },
		{ SLICE("PROTO"), SMTP_XF_PROTO }, { SLICE("HELO"), SMTP_XF_HELO }, { SLICE("IDENT"), SMTP_XF_IDENT },
		{ SLICE("SOURCE"), SMTP_XF_SOURCE },
	};
	struct slice word;

	while (slice_word(&line, " \t", &word))
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (slice_eq_nocase(word, known[i].word))
				s->features |= known[i].feature;
}

static bool discarded(struct slice word, const struct smtp_settings *settings)
{
	struct slice rest = slice_of(settings->discard_keywords), one;

	while (settings->discard_keywords && slice_word(&rest, ", \t\r\n", &one))
		if (slice_eq_nocase(one, word))
			return true;
	return false;
}

static void take_keyword(struct smtp_session *s, const struct smtp_settings *settings, struct slice line)
{
	static const struct {
		struct slice word;
		enum smtp_feature feature;
	} known[] = {
		{ SLICE("PIPELINING"), SMTP_PIPELINING }, { SLICE("SIZE"), SMTP_SIZE },
		{ SLICE("8BITMIME"), SMTP_8BITMIME },     { SLICE("SMTPUTF8"), SMTP_SMTPUTF8 },
		{ SLICE("CHUNKING"), SMTP_CHUNKING },     { SLICE("DSN"), SMTP_DSN },
		{ SLICE("DELIVERBY"), SMTP_DELIVERBY },
		{ SLICE("ENHANCEDSTATUSCODES"), SMTP_ENHANCED }, { SLICE("STARTTLS"), SMTP_STARTTLS },
	};
	struct slice word;

	if (!slice_word(&line, " \t=", &word) || discarded(word, settings))
		return;
	if (slice_eq_nocase(word, SLICE("XFORWARD")) && settings->send_xforward)
		take_forward(s, line);
	if (slice_eq_nocase(word, SLICE("AUTH")))
		take_mechanisms(s, line);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!slice_eq_nocase(word, known[i].word))
			continue;
		s->features |= known[i].feature;
		if (known[i].feature == SMTP_SIZE && slice_word(&line, " \t", &word) &&
		    !slice_to_u64(word, &s->size_limit))
			s->size_limit = 0;
	}
}

static void take_keywords(struct smtp_session *s, const struct smtp_settings *settings)
{
	struct slice rest = str_slice(&s->reply.text);
	struct slice line;

	s->features = SMTP_ESMTP;
	s->size_limit = 0;
	s->mechanisms[0] = '\0';
	/* the first names the server */
	for (bool more = slice_cut(&rest, '\n', &line); more;) {
		more = slice_cut(&rest, '\n', &line);
		take_keyword(s, settings, slice_sub(line, 4, line.len));
	}
}

static bool hello(struct smtp_session *s, const char *verb, const struct smtp_settings *settings,
		  struct arena *arena, struct smtp_failure *failure)
{
	char doing[40];

	(void)snprintf(doing, sizeof(doing), "performing the %s handshake", verb);
	stream_set_timeout(s->stream, settings->helo_timeout);
	(void)stream_printf(s->stream, "%s %s\r\n", verb, settings->helo_name);
	return smtp_session_reply(s, doing, settings->helo_timeout, arena, failure);
}

static bool slice_contains_nocase(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.len <= text.len; i++)
		if (slice_starts_nocase(slice_sub(text, i, text.len), word))
			return true;
	return false;
}

static bool old_introduce(struct smtp_session *s, const struct smtp_settings *settings, struct arena *arena,
			  struct smtp_failure *failure)
{
	if (!hello(s, "HELO", settings, arena, failure))
		return false;
	if (s->reply.code / 100 == 2)
		return true;
	smtp_session_refused(s, NULL, arena, failure);
	return false;
}

/* EHLO or LHLO, and HELO for a server that knows neither. */
static bool introduce(struct smtp_session *s, const struct smtp_settings *settings, struct arena *arena,
		      struct smtp_failure *failure)
{
	/* Of the greeting's text; s->reply is still the greeting, or what STARTTLS was answered. */
	bool plain = !settings->lmtp && !s->encrypted &&
		     (settings->never_ehlo || (settings->only_offered_ehlo && !slice_contains_nocase(
								  str_slice(&s->reply.text), SLICE("ESMTP"))));

	s->features = 0;
	if (plain)
		return old_introduce(s, settings, arena, failure);
	if (!hello(s, settings->lmtp ? "LHLO" : "EHLO", settings, arena, failure))
		return false;
	if (s->reply.code / 100 == 2) {
		take_keywords(s, settings);
		return true;
	}
	/* A server that does not know EHLO says 5xx; anything else is a refusal. */
	if (!settings->lmtp && s->reply.code / 100 == 5 && !s->broken)
		return old_introduce(s, settings, arena, failure);
	smtp_session_refused(s, NULL, arena, failure);
	return false;
}

static bool take_greeting(struct smtp_session *s, const struct smtp_settings *settings, struct arena *arena,
			  struct smtp_failure *failure)
{
	if (!smtp_session_reply(s, "receiving the initial server greeting", settings->helo_timeout, arena, failure))
		return false;
	s->farewell = true;
	if (s->reply.code / 100 == 2)
		return true;
	smtp_session_refused(s, NULL, arena, failure);
	if (settings->skip_5xx_greeting && failure->permanent) {
		failure->permanent = false;
		failure->dsn[0] = '4';
	}
	return false;
}

/* --- TLS --- */

static void log_tls(const struct smtp_session *s, enum tls_peer_status status)
{
	struct str line = { 0 };

	tls_info_describe(&line, &s->tls);
	log_info("%s TLS connection %s to %s: %s", tls_peer_status_text(status),
		 s->tls.resumed ? "reused" : "established", s->relay, str_cstr(&line));
	str_free(&line);
}

static bool shake_hands(struct smtp_session *s, const struct smtp_settings *settings, const struct smtp_policy *policy,
			struct arena *arena, struct smtp_failure *failure)
{
	enum tls_peer_status status = TLS_ANONYMOUS;
	struct err err = { 0 };
	bool done;

	s->farewell = false;
	stream_set_timeout(s->stream, settings->security->timeout);
	done = tls_client_connect(settings->security->client, s->stream, &policy->wish, &status, &s->tls, &err);
	if (settings->security->loglevel > 0 && s->tls.protocol)
		log_tls(s, status);
	if (done) {
		s->encrypted = true;
		s->verified = status == TLS_VERIFIED;
		return true;
	}
	s->broken = true;
	if (!s->tls.protocol)
		log_info("TLS handshake with %s failed: %s", s->relay, err.text);
	smtp_fail(failure, arena, "4.7.5", s->tls.protocol ? "%s" : "Cannot start TLS: handshake failure (%s)", err.text);
	failure->relay = arena_slice(arena, slice_of(s->relay));
	return false;
}

/* STARTTLS (RFC 3207), where the server offers it. */
static enum smtp_greeting start_tls(struct smtp_session *s, const struct smtp_settings *settings,
				    const struct smtp_policy *policy, struct arena *arena, struct smtp_failure *failure)
{
	bool optional = policy->level == TLS_MAY;

	if (!(s->features & SMTP_STARTTLS)) {
		if (optional)
			return SMTP_GREETED;
		smtp_fail(failure, arena, "4.7.4", "TLS is required, but was not offered by host %s", s->name);
		failure->relay = arena_slice(arena, slice_of(s->relay));
		return SMTP_UNGREETED;
	}
	(void)stream_write(s->stream, SLICE("STARTTLS\r\n"));
	if (!smtp_session_reply(s, "performing STARTTLS", settings->security->timeout, arena, failure))
		return optional ? SMTP_WITHOUT_TLS : SMTP_UNGREETED;
	if (s->reply.code / 100 != 2) {
		/* The server will not: no worse than one that does not offer it. */
		if (optional && !s->broken)
			return SMTP_GREETED;
		smtp_fail(failure, arena, "4.7.5", "TLS is required, but host %s refused to start TLS: %.*s", s->name,
			  SLICE_FMT(smtp_reply_text(&s->reply, TEXT_MAX, arena)));
		failure->relay = arena_slice(arena, slice_of(s->relay));
		return SMTP_UNGREETED;
	}
	if (!shake_hands(s, settings, policy, arena, failure))
		return optional ? SMTP_WITHOUT_TLS : SMTP_UNGREETED;
	/* What the server said before counts no longer (RFC 3207, section 4.2). */
	return introduce(s, settings, arena, failure) ? SMTP_GREETED : SMTP_UNGREETED;
}

static enum smtp_greeting negotiate(struct smtp_session *s, const struct smtp_settings *settings,
				    const struct smtp_policy *policy, struct arena *arena, struct smtp_failure *failure)
{
	bool wrapped = policy->level > TLS_NONE && settings->security->wrapper;

	s->keep = policy->level == TLS_NONE || policy->reuse;
	if (wrapped && !shake_hands(s, settings, policy, arena, failure))
		return SMTP_UNGREETED;
	if (!take_greeting(s, settings, arena, failure) || !introduce(s, settings, arena, failure))
		return SMTP_UNGREETED;
	if (!wrapped && policy->level > TLS_NONE)
		return start_tls(s, settings, policy, arena, failure);
	if (policy->level == TLS_NONE && (s->features & SMTP_STARTTLS) && settings->security &&
	    settings->security->note_offer)
		log_info("Host offered STARTTLS: [%s]", s->name);
	return SMTP_GREETED;
}

enum smtp_greeting smtp_session_greet(struct smtp_session *s, const struct smtp_settings *settings,
				      const struct smtp_policy *policy, struct arena *arena, struct smtp_failure *failure)
{
	enum smtp_greeting greeting = negotiate(s, settings, policy, arena, failure);

	if (greeting != SMTP_GREETED || !policy->account || !(s->features & SMTP_AUTH))
		return greeting;
	return smtp_login_perform(settings->login, s, policy->account, settings->helo_timeout, arena, failure)
		       ? SMTP_GREETED
		       : SMTP_UNGREETED;
}
