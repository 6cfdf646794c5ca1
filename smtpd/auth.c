/* SPDX-License-Identifier: ISC */
#include "smtpd/auth.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/sasl/base64.h"

#define NO_REASON "(reason unavailable)"

/* One AUTH command from its first word to its answer. */
struct dialogue {
	const struct auth_settings *settings;
	const struct auth_ops *ops;
	const struct auth_facts *facts;
	struct arena *arena;
	const char *method;          /* upper case */
	struct auth_answer answer;
	struct str response;         /* decoded; holds passwords */
	bool undecodable;            /* the client's text is no base64 */
};

static void reply(const struct auth_ops *ops, int code, const char *dsn, const char *text)
{
	ops->reply(ops->context, code, dsn, text);
}

void auth_reset(struct auth_state *state)
{
	str_free(&state->user);
	str_free(&state->method);
}

/* --- mechanisms --- */

/* Those that this session may use, in the backend's order. */
static size_t permitted(const struct auth_settings *settings, const struct auth_ops *ops, const struct auth_facts *facts,
			struct arena *arena, struct auth_mechanism *list)
{
	const struct sasl_options *options = facts->secured ? &settings->tls_options : &settings->options;
	size_t count = 0, kept = 0;

	if (!ops->mechanisms(ops->context, arena, list, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (list[i].properties & SASL_PRIVATE || !sasl_options_allow(options, list[i].properties) ||
		    (ops->filter && !ops->filter(ops->context, list[i].name)))
			continue;
		list[kept++] = list[i];
	}
	return kept;
}

static void announce(const struct auth_mechanism *list, size_t count, const char *keyword, struct str *out)
{
	str_append_text(out, keyword);
	for (size_t i = 0; i < count; i++)
		str_printf(out, "%s%.*s", i ? " " : "", SLICE_FMT(list[i].name));
	str_append_byte(out, '\n');
}

void auth_announce(const struct auth_settings *settings, const struct auth_ops *ops, const struct auth_facts *facts,
		   struct str *out)
{
	struct auth_mechanism list[AUTH_MECHANISMS_MAX];
	struct arena *arena;
	size_t count;

	if (!facts->enabled || (settings->tls_only && !facts->secured))
		return;
	arena = arena_create(0);
	count = permitted(settings, ops, facts, arena, list);
	if (count > 0) {
		announce(list, count, "AUTH ", out);
		if (settings->broken_clients)
			announce(list, count, "AUTH=", out);
	}
	arena_free(&arena);
}

static void fail(struct dialogue *d, enum auth_reason reason, const char *text)
{
	d->answer = (struct auth_answer){ .type = AUTH_FAIL, .reason = reason, .text = slice_of(text) };
}

static bool is_permitted(struct dialogue *d)
{
	struct auth_mechanism list[AUTH_MECHANISMS_MAX];
	size_t count = permitted(d->settings, d->ops, d->facts, d->arena, list);

	for (size_t i = 0; i < count; i++)
		if (slice_eq_nocase(list[i].name, slice_of(d->method)))
			return true;
	fail(d, AUTH_REASON_MECHANISM, "Invalid authentication mechanism");
	return false;
}

/* --- the dialogue --- */

static void clear_response(struct dialogue *d)
{
	if (d->response.data)
		OPENSSL_cleanse(d->response.data, d->response.cap);
	str_clear(&d->response);
}

static void first_step(struct dialogue *d, bool has_response, struct slice text)
{
	struct auth_start start = {
		.service = slice_of(d->facts->service), .mechanism = slice_of(d->method), .has_response = has_response,
		.client_address = slice_of(d->facts->client_address), .client_port = slice_of(d->facts->client_port),
		.local_address = slice_of(d->facts->local_address), .local_port = slice_of(d->facts->local_port),
		.secured = d->facts->secured, .certificate = d->facts->certificate,
	};

	if (!is_permitted(d))
		return;
	/* "=" is a response of no bytes: without it, there is none. */
	if (has_response && !slice_eq(text, SLICE("=")) && (text.len == 0 || !base64_decode(text, &d->response))) {
		d->undecodable = true;
		fail(d, AUTH_REASON_MALFORMED, "Invalid base64 data in initial response");
		return;
	}
	start.response = str_slice(&d->response);
	d->ops->begin(d->ops->context, &start, d->arena, &d->answer);
	clear_response(d);
}

/* False: the reply has been sent, or nobody is there to get one. */
static bool next_step(struct dialogue *d)
{
	struct str challenge = { 0 };
	struct slice line;
	enum auth_read got;

	base64_encode(d->answer.text, &challenge);
	reply(d->ops, 334, "", str_cstr(&challenge));
	str_free(&challenge);
	got = d->ops->read(d->ops->context, d->settings->response_limit, &line);
	if (got == AUTH_READ_LINE && !slice_eq(line, SLICE("*"))) {
		if (base64_decode(line, &d->response)) {
			d->ops->respond(d->ops->context, str_slice(&d->response), d->arena, &d->answer);
			clear_response(d);
			return true;
		}
		d->ops->cancel(d->ops->context);
		d->undecodable = true;
		fail(d, AUTH_REASON_MALFORMED, "Invalid base64 data in continued response");
		return true;
	}
	d->ops->cancel(d->ops->context);
	if (got == AUTH_READ_TOO_LONG) {
		reply(d->ops, 500, "5.5.6", "SASL response limit exceeded");
	} else if (got == AUTH_READ_LINE) {
		log_warning("%s[%s]: SASL %s authentication aborted", d->facts->client_name, d->facts->client_address, d->method);
		reply(d->ops, 501, "5.7.0", "Authentication aborted");
	}
	return false;
}

/* The log line is what fail2ban's filters and others wait for. */
static void refuse(const struct dialogue *d)
{
	const struct auth_answer *a = &d->answer;
	struct slice reason = a->text.len ? a->text : SLICE(NO_REASON);
	struct slice user = a->user.len ? slice_sub(a->user, 0, 100) : SLICE("(unavailable)");
	char text[AUTH_TEXT_MAX + 64];

	log_warning("%s[%s]: SASL %.100s authentication failed: %.*s, sasl_username=%.*s", d->facts->client_name,
		    d->facts->client_address, d->method, SLICE_FMT(reason), SLICE_FMT(user));
	if (a->temporary) {
		snprintf(text, sizeof(text), "Temporary authentication failure: %.*s", SLICE_FMT(reason));
		reply(d->ops, 454, "4.7.0", text);
		return;
	}
	snprintf(text, sizeof(text), "Error: authentication failed: %.*s", SLICE_FMT(reason));
	/* RFC 4954 §4: what is no base64 is answered 501. */
	if (d->undecodable)
		reply(d->ops, 501, "5.5.2", text);
	else
		reply(d->ops, 535, "5.7.8", text);
}

static bool run(struct auth_state *state, struct dialogue *d, bool has_response, struct slice response)
{
	first_step(d, has_response, response);
	while (d->answer.type == AUTH_CHALLENGE)
		if (!next_step(d))
			return false;
	if (d->answer.type != AUTH_OK) {
		refuse(d);
		return false;
	}
	str_append(&state->user, d->answer.text);
	str_append_text(&state->method, d->method);
	reply(d->ops, 235, "2.7.0", "Authentication successful");
	return true;
}

/* True: AUTH cannot be given now, and has been answered. */
static bool out_of_place(const struct auth_state *state, const struct auth_settings *settings, const struct auth_ops *ops,
			 const struct auth_facts *facts)
{
	if (!facts->greeted)
		reply(ops, 503, "5.5.1", "Error: send HELO/EHLO first");
	else if (!facts->enabled)
		reply(ops, 503, "5.5.1", "Error: authentication not enabled");
	else if (facts->in_transaction)
		reply(ops, 503, "5.5.1", "Error: MAIL transaction in progress");
	else if (settings->tls_only && !facts->secured)
		reply(ops, 504, "5.5.4", "Encryption required for requested authentication mechanism");
	else if (state->user.len)
		reply(ops, 503, "5.5.1", "Error: already authenticated");
	else
		return false;
	return true;
}

bool auth_run(struct auth_state *state, const struct auth_settings *settings, const struct auth_ops *ops,
	      const struct auth_facts *facts, struct slice args)
{
	struct dialogue d = { .settings = settings, .ops = ops, .facts = facts };
	struct slice method, response = SLICE_NONE, extra;
	struct str upper = { 0 };
	bool has_response, in = false;

	if (out_of_place(state, settings, ops, facts))
		return false;
	if (!slice_word(&args, " \t", &method)) {
		reply(ops, 501, "5.5.4", "Syntax: AUTH mechanism");
		return false;
	}
	has_response = slice_word(&args, " \t", &response);
	if (slice_word(&args, " \t", &extra) || !sasl_mechanism_valid(method)) {
		reply(ops, 501, "5.5.4", "Syntax: AUTH mechanism");
		return false;
	}
	for (size_t i = 0; i < method.len; i++)
		str_append_byte(&upper, method.ptr[i] >= 'a' && method.ptr[i] <= 'z' ? (char)(method.ptr[i] - 32) : method.ptr[i]);
	d.arena = arena_create(2048);
	d.method = str_cstr(&upper);
	in = run(state, &d, has_response, response);
	clear_response(&d);
	str_free(&d.response);
	arena_free(&d.arena);
	str_free(&upper);
	return in;
}

bool auth_parameter_valid(struct slice value)
{
	if (slice_eq(value, SLICE("<>")))
		return true;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c != '+')
			continue;
		for (size_t k = 1; k <= 2; k++)
			if (i + k >= value.len || !memchr("0123456789ABCDEF", value.ptr[i + k], 16))
				return false;
		i += 2;
	}
	return value.len > 0 && value.len <= 500;
}
