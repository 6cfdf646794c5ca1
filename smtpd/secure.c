/* SPDX-License-Identifier: ISC */
/* STARTTLS, TLS from the first byte on, and AUTH: what makes a session private, and somebody's. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/tls/server.h"
#include "common/tls/tls_stream.h"
#include "smtpd/session.h"

#define AUTH_SECONDS 100     /* for an answer of auth */

/* --- TLS --- */

/* What was said in plain text counts no longer (RFC 3207 §4.2). */
static void start_anew(struct session *s)
{
	transaction_free(s);
	str_clear(&s->helo);
	s->esmtp = s->bdat_failed = false;
	auth_reset(&s->login);
}

static const char *peer_status(const struct tls_info *tls)
{
	return !tls->has_peer ? "Anonymous" : tls->trusted ? "Trusted" : "Untrusted";
}

static void log_tls(const struct session *s)
{
	struct str line = { 0 };

	tls_info_describe(&line, s->tls);
	log_info("%s TLS connection %s from %s[%s]: %s", peer_status(s->tls), s->tls->resumed ? "reused" : "established",
		 s->client->name, s->client->address, str_cstr(&line));
	str_free(&line);
}

static void break_off(struct session *s)
{
	s->quit = true;
	s->status = STREAM_ERROR;
}

/* Where a client must show a certificate, and has shown none that we trust. */
static bool certificate_missing(struct session *s)
{
	const char *what = s->tls->has_peer ? "Client certificate not trusted" : "No client certificate presented";

	if (!s->settings->tls->requires_certificate || s->tls->trusted)
		return false;
	log_info("NOQUEUE: abort: TLS from %s[%s]: %s", s->client->name, s->client->address, what);
	reply(s, 421, "4.7.1", "%s Error: %s", s->settings->myhostname, what);
	s->quit = true;
	return true;
}

bool session_start_tls(struct session *s)
{
	const struct smtpd_tls *tls = s->settings->tls;
	struct err err = { 0 };
	size_t dropped = 0;

	s->tls = mem_alloc(sizeof(*s->tls));
	stream_set_timeout(s->stream, tls->timeout);
	if (!tls_server_accept(tls->server, s->stream, s->tls, &dropped, &err)) {
		log_info("SSL_accept error from %s[%s]: %s", s->client->name, s->client->address, err.text);
		free(s->tls);
		s->tls = NULL;
		break_off(s);
		return false;
	}
	if (dropped > 0)
		log_warning("%zu bytes in plain text behind STARTTLS from %s[%s] were thrown away", dropped, s->client->name,
			    s->client->address);
	if (tls->loglevel > 0)
		log_tls(s);
	start_anew(s);
	if (!s->tls->resumed && !session_count(s, EVENT_NEW_TLS)) {
		s->quit = true;
		return false;
	}
	return !certificate_missing(s);
}

void command_starttls(struct session *s, struct slice args)
{
	if (!s->settings->tls) {
		reply(s, 502, "5.5.1", "Error: command not implemented");
	} else if (args.len > 0) {
		reply(s, 501, "5.5.4", "Syntax: STARTTLS");
	} else if (s->tls) {
		reply(s, 554, "5.5.1", "Error: TLS already active");
	} else {
		reply(s, 220, "2.0.0", "Ready to start TLS");
		if (stream_flush(s->stream) != STREAM_OK || !session_start_tls(s))
			s->quit = true;
	}
}

void session_describe_tls(const struct session *s, struct arena *arena, struct message_envelope *envelope)
{
	struct str text = { 0 };

	if (!s->tls || !s->settings->tls->received_header)
		return;
	tls_info_describe(&text, s->tls);
	envelope->tls = arena_slice(arena, str_slice(&text));
	str_clear(&text);
	if (!s->tls->has_peer)
		str_append_text(&text, s->settings->tls->asks ? "Client did not present a certificate" :
				"No client certificate requested");
	else
		str_printf(&text, "Client CN \"%s\", Issuer \"%s\" (%s)", s->tls->peer_name, s->tls->peer_issuer,
			   s->tls->trusted ? "verified OK" : "not verified");
	envelope->tls_peer = arena_slice(arena, str_slice(&text));
	str_free(&text);
}

/* --- AUTH --- */

static bool offered(const struct session *s)
{
	const struct smtpd_auth *auth = s->settings->auth;
	struct err err;

	return auth && (!auth->exceptions || match_list_test_client(auth->exceptions, slice_of(s->client->name),
								   slice_of(s->client->address), &err) == TABLE_NOT_FOUND);
}

static struct auth_facts auth_facts(const struct session *s)
{
	return (struct auth_facts){
		.greeted = s->helo.len > 0, .enabled = offered(s), .in_transaction = s->transaction != NULL,
		.secured = s->tls != NULL, .certificate = s->tls && s->tls->trusted, .client_name = s->client->name,
		.client_address = s->client->address, .client_port = s->client->port, .local_address = s->client->server_address,
		.local_port = s->client->server_port, .service = s->settings->auth ? s->settings->auth->service : "",
	};
}

static enum auth_read read_response(void *context, size_t limit, struct slice *line)
{
	struct session *s = context;
	enum stream_status status;

	stream_set_timeout(s->stream, s->settings->timeout);
	status = stream_read_line(s->stream, limit, line, NULL);
	if (status == STREAM_TOO_LONG) {
		status = stream_skip_line(s->stream, limit);
		if (status == STREAM_OK)
			return AUTH_READ_TOO_LONG;
	}
	s->status = status;
	return status == STREAM_OK ? AUTH_READ_LINE : AUTH_READ_GONE;
}

static void auth_reply(void *context, int code, const char *dsn, const char *text)
{
	struct smtp_reply r = { .code = code };
	struct session *s = context;

	/* A challenge may be longer than any reply of ours. */
	if (code == 334) {
		if (stream_printf(s->stream, "334 %s\r\n", text) != STREAM_OK)
			s->quit = true;
		return;
	}
	reply_set(&r, code, dsn, "%s", text);
	reply_with(s, &r);
}

static bool find_mechanisms(void *context, struct arena *arena, struct auth_mechanism *list, size_t *count)
{
	const struct session *s = context;
	struct err err;

	if (auth_mechanisms(s->settings->auth->client, slice_of(s->settings->auth->service), loop_now() + AUTH_SECONDS, arena,
			    list, count, &err))
		return true;
	log_warning("SASL: %s", err.text);
	return false;
}

static bool passes_filter(void *context, struct slice mechanism)
{
	const struct session *s = context;
	struct err err;

	return !s->settings->auth->filter ||
	       match_list_test(s->settings->auth->filter, mechanism, &err) == TABLE_FOUND;
}

static void begin(void *context, struct auth_start *start, struct arena *arena, struct auth_answer *answer)
{
	struct session *s = context;

	auth_begin(&s->dialogue, s->settings->auth->client, start, loop_now() + AUTH_SECONDS, arena, answer);
}

static void respond(void *context, struct slice response, struct arena *arena, struct auth_answer *answer)
{
	struct session *s = context;

	auth_respond(&s->dialogue, response, loop_now() + AUTH_SECONDS, arena, answer);
}

static void cancel(void *context)
{
	struct session *s = context;

	auth_cancel(&s->dialogue);
}

static struct auth_ops operations(struct session *s)
{
	return (struct auth_ops){ s, read_response, auth_reply, find_mechanisms, passes_filter, begin, respond, cancel };
}

void session_announce_auth(struct session *s, struct str *out)
{
	struct auth_facts facts = auth_facts(s);
	struct auth_ops ops = operations(s);
	struct str lines = { 0 };
	struct slice rest, line;

	if (!s->settings->auth)
		return;
	auth_announce(&s->settings->auth->settings, &ops, &facts, &lines);
	rest = str_slice(&lines);
	while (rest.len > 0 && slice_cut(&rest, '\n', &line))
		str_printf(out, "250-%.*s\r\n", SLICE_FMT(line));
	str_free(&lines);
}

void command_auth(struct session *s, struct slice args)
{
	static const struct auth_settings none;
	struct auth_facts facts = auth_facts(s);
	struct auth_ops ops = operations(s);

	if (!session_count(s, EVENT_AUTH))
		return;
	(void)auth_run(&s->login, s->settings->auth ? &s->settings->auth->settings : &none, &ops, &facts, args);
}

/* --- limits a login --- */

static bool count_login(void *context, const struct auth_counting *counting, struct auth_verdict *verdict, struct err *err)
{
	const struct session *s = context;

	return auth_count(s->settings->auth->client, counting, loop_now() + AUTH_SECONDS, verdict, err);
}

bool session_count_message(struct session *s)
{
	struct login_limits limits = { count_login, s, s->client };
	struct smtp_reply refusal = { 0 };

	if (s->login.user.len == 0 || login_limits_message(&limits, str_slice(&s->login.user), &refusal))
		return true;
	reply_with(s, &refusal);
	return false;
}

bool session_count_recipient(struct session *s)
{
	struct login_limits limits = { count_login, s, s->client };
	struct smtp_reply refusal = { 0 };

	if (s->login.user.len == 0 || login_limits_recipient(&limits, str_slice(&s->login.user), &refusal))
		return true;
	reply_with(s, &refusal);
	return false;
}
