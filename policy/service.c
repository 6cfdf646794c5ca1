/* SPDX-License-Identifier: ISC */
/*
 * check_policy_service: attributes in, an action of access(5) out, as Postfix's SMTPD_POLICY_README says.
 * proxymap connects, for this process may not; what is said goes directly, over connections that are kept.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/config/params.h"
#include "common/net/stream.h"
#include "common/proto/proxymap_proto.h"
#include "common/tls/info.h"
#include "policy/rules.h"

#define IDLE_MAX     100     /* connections kept */
#define LINE_MAX_LEN 16384
#define LINES_MAX    64

/* --- "inet:host:port" or "unix:path", and options --- */

static bool set_option(struct policy_service *s, struct slice name, struct slice value, struct err *err)
{
	int64_t number;

	if (slice_eq(name, SLICE("default_action")))
		s->default_action = value;
	else if (slice_eq(name, SLICE("policy_context")))
		s->context = value;
	else if (slice_eq(name, SLICE("timeout")) && param_parse_time(value, 's', &s->timeout))
		return true;
	else if (slice_eq(name, SLICE("retry_delay")) && param_parse_time(value, 's', &s->retry_delay))
		return true;
	else if (slice_eq(name, SLICE("max_idle")) && param_parse_time(value, 's', &s->max_idle))
		return true;
	else if (slice_eq(name, SLICE("request_limit")) && slice_to_i64(value, &number) && number >= 0)
		s->request_limit = (long)number;
	else if (slice_eq(name, SLICE("try_limit")) && slice_to_i64(value, &number) && number > 0)
		s->tries = (long)number;
	/* How old a connection gets does not matter here: one that the server has closed is noticed. */
	else if (!slice_eq(name, SLICE("max_ttl")))
		return err_set(err, ERR_SYNTAX, "\"%.*s=%.*s\" is no option of a policy service", SLICE_FMT(slice_sub(name, 0, 50)),
			       SLICE_FMT(slice_sub(value, 0, 50)));
	return true;
}

/* The next "name = value" or "{ name = value }"; the values of the first form have no white space. */
static bool take_option(struct slice *rest, struct slice *option)
{
	ptrdiff_t end;

	*rest = slice_trim(*rest);
	while (rest->len > 0 && rest->ptr[0] == ',')
		*rest = slice_trim(slice_sub(*rest, 1, rest->len));
	if (rest->len == 0)
		return false;
	if (rest->ptr[0] == '{') {
		end = slice_find(*rest, '}');
		*option = slice_sub(*rest, 1, end > 0 ? (size_t)end - 1 : rest->len);
		*rest = slice_sub(*rest, end > 0 ? (size_t)end + 1 : rest->len, rest->len);
	} else {
		struct slice until = *rest;

		if (!slice_cut(&until, ',', option))
			until = SLICE_NONE;
		*rest = until;
	}
	return true;
}

bool policy_service_parse(struct policy *policy, struct slice text, struct policy_service *s, struct err *err)
{
	const struct config *c = policy->config;
	struct slice rest = text, option, name;

	*s = (struct policy_service){
		.default_action = slice_of(config_text(c, "smtpd_policy_service_default_action")),
		.context = slice_of(config_text(c, "smtpd_policy_service_policy_context")),
		.timeout = config_time(c, "smtpd_policy_service_timeout"),
		.retry_delay = config_time(c, "smtpd_policy_service_retry_delay"),
		.tries = config_int(c, "smtpd_policy_service_try_limit"),
		.max_idle = config_time(c, "smtpd_policy_service_max_idle"),
		.request_limit = config_int(c, "smtpd_policy_service_request_limit"),
	};
	if (!slice_word(&rest, ", \t\r\n", &s->server) ||
	    (!slice_starts(s->server, SLICE("inet:")) && !slice_starts(s->server, SLICE("unix:"))))
		return err_set(err, ERR_SYNTAX, "expected inet:host:port or unix:path, not \"%.*s\"", SLICE_FMT(slice_sub(text, 0, 100)));
	while (take_option(&rest, &option)) {
		if (!slice_cut(&option, '=', &name))
			return err_set(err, ERR_SYNTAX, "expected name=value, not \"%.*s\"", SLICE_FMT(slice_sub(option, 0, 100)));
		if (!set_option(s, slice_trim(name), slice_trim(option), err))
			return false;
	}
	return true;
}

/* --- the question --- */

/* A value is one line, whatever the client put into it. */
static void put(struct str *out, const char *name, struct slice value)
{
	str_printf(out, "%s=", name);
	for (size_t i = 0; i < value.len; i++)
		str_append_byte(out, (unsigned char)value.ptr[i] < ' ' ? '?' : value.ptr[i]);
	str_append_byte(out, '\n');
}

static void put_text(struct str *out, const char *name, const char *value)
{
	put(out, name, slice_of(value));
}

static void put_number(struct str *out, const char *name, uint64_t value)
{
	str_printf(out, "%s=%llu\n", name, (unsigned long long)value);
}

static void put_tls(struct str *out, const struct tls_info *tls)
{
	bool peer = tls && tls->has_peer;

	put_text(out, "ccert_subject", peer && tls->trusted ? tls->peer_name : "");
	put_text(out, "ccert_issuer", peer && tls->trusted ? tls->peer_issuer : "");
	put_text(out, "ccert_fingerprint", peer ? tls->certificate_fingerprint : "");
	put_text(out, "ccert_pubkey_fingerprint", peer ? tls->key_fingerprint : "");
	put_text(out, "encryption_protocol", tls ? tls->protocol : "");
	put_text(out, "encryption_cipher", tls ? tls->cipher : "");
	put_number(out, "encryption_keysize", tls ? (uint64_t)tls->bits : 0);
}

static void write_question(const struct inquiry *q, const struct policy_service *s, struct str *out)
{
	const struct policy_facts *f = q->facts;
	bool counted = q->list_subject == ABOUT_DATA || q->list_subject == ABOUT_END_OF_DATA;

	put_text(out, "request", "smtpd_access_policy");
	put_text(out, "protocol_state", f->command);
	put_text(out, "protocol_name", f->protocol);
	put_text(out, "client_address", f->client->address);
	put_text(out, "client_name", f->client->name);
	put_text(out, "client_port", f->client->port);
	put_text(out, "reverse_client_name", f->client->reverse_name);
	put_text(out, "server_address", f->client->server_address);
	put_text(out, "server_port", f->client->server_port);
	put(out, "helo_name", f->helo);
	put(out, "sender", f->sender);
	put(out, "recipient", f->recipient);
	put_number(out, "recipient_count", counted ? f->recipient_count : 0);
	put_text(out, "queue_id", strcmp(f->queue_id, "NOQUEUE") == 0 ? "" : f->queue_id);
	put_text(out, "instance", f->instance ? f->instance : "");
	put_number(out, "size", f->size);
	put(out, "etrn_domain", f->etrn_domain);
	put_text(out, "stress", config_text(q->policy->config, "stress"));
	put(out, "sasl_method", f->login_method);
	put(out, "sasl_username", f->login);
	put_text(out, "sasl_sender", "");
	put_tls(out, f->tls);
	put(out, "policy_context", s->context);
	put_text(out, "compatibility_level", config_text(q->policy->config, "compatibility_level"));
	put_text(out, "mail_version", config_text(q->policy->config, "mail_version"));
}

/* --- connections --- */

static void drop(struct idle_connection *c)
{
	stream_free(&c->stream);
	free(c);
}

void policy_service_close(struct policy_service *s)
{
	for (struct idle_connection *c = s->idle, *next; c; c = next) {
		next = c->next;
		drop(c);
	}
	s->idle = NULL;
	s->idle_count = 0;
}

/* One that is not too old, and whose server has not said or closed anything meanwhile; NULL: there is none. */
static struct idle_connection *take_idle(struct policy_service *s)
{
	while (s->idle) {
		struct idle_connection *c = s->idle;

		s->idle = c->next;
		s->idle_count--;
		if (loop_now() - c->since < s->max_idle && !stream_input_ready(c->stream))
			return c;
		drop(c);
	}
	return NULL;
}

static struct idle_connection *connect_anew(struct inquiry *q, const struct policy_service *s, double deadline, struct err *err)
{
	struct idle_connection *c;
	int fd = proxymap_connect(q->policy->proxymap, s->server, deadline, err);

	if (fd < 0)
		return NULL;
	c = mem_alloc(sizeof(*c));
	c->stream = stream_of_fd(fd);
	return c;
}

static void keep(struct policy_service *s, struct idle_connection *c)
{
	c->requests++;
	if (s->idle_count >= IDLE_MAX || (s->request_limit > 0 && c->requests >= s->request_limit)) {
		drop(c);
		return;
	}
	c->since = loop_now();
	c->next = s->idle;
	s->idle = c;
	s->idle_count++;
}

/* --- asking --- */

/* Lines up to an empty one; the action is in one of them. */
static bool read_action(struct idle_connection *c, struct arena *arena, struct slice *action, struct err *err)
{
	struct slice line, value, name;
	enum stream_status status;

	*action = SLICE_NONE;
	for (unsigned i = 0; i < LINES_MAX; i++) {
		status = stream_read_line(c->stream, LINE_MAX_LEN, &line, NULL);
		if (status != STREAM_OK)
			return err_set(err, ERR_CLOSED, "%s", stream_status_text(status));
		value = line = slice_trim(line);
		if (line.len == 0)
			return action->ptr || err_set(err, ERR_SYNTAX, "no action in the answer");
		if (!action->ptr && slice_cut(&value, '=', &name) && slice_eq_nocase(slice_trim(name), SLICE("action")))
			*action = arena_slice(arena, slice_trim(value));
	}
	return err_set(err, ERR_SYNTAX, "more than %d lines in the answer", LINES_MAX);
}

static bool converse(struct inquiry *q, struct idle_connection *c, struct slice text, double deadline, struct slice *action,
		     struct err *err)
{
	stream_set_deadline(c->stream, deadline);
	if (stream_write(c->stream, text) != STREAM_OK || stream_flush(c->stream) != STREAM_OK)
		return err_set(err, ERR_CLOSED, "lost connection");
	return read_action(c, q->arena, action, err);
}

static bool ask_once(struct inquiry *q, struct policy_service *s, struct slice text, struct slice *action, struct err *err)
{
	double deadline = loop_now() + s->timeout;
	struct idle_connection *c = take_idle(s);

	if (!c)
		c = connect_anew(q, s, deadline, err);
	if (!c)
		return false;
	if (converse(q, c, text, deadline, action, err)) {
		keep(s, c);
		return true;
	}
	drop(c);
	return false;
}

static bool ask(struct inquiry *q, struct policy_service *s, struct slice *action, struct err *err)
{
	struct str text = { 0 };
	bool ok = false;

	write_question(q, s, &text);
	str_append_byte(&text, '\n');
	for (long i = 0; i < s->tries && !ok; i++) {
		if (i > 0 && task_sleep(s->retry_delay) != TASK_READY)
			break;
		ok = ask_once(q, s, str_slice(&text), action, err);
	}
	str_free(&text);
	return ok;
}

enum verdict rule_policy_service(struct inquiry *q, const struct rule *rule)
{
	struct policy_service *s = rule->service;
	struct slice action;
	struct about about = { SLICE_NONE, "Policy", ABOUT_CLIENT };
	const char *server = arena_cstr(q->arena, s->server);
	struct err err = { 0 };

	(void)inquiry_about(q, ABOUT_LIST, &about);
	if (!ask(q, s, &action, &err)) {
		log_warning("problem talking to server %s: %s", server, err.text);
		action = s->default_action;
	}
	return access_result(q, action, server, &about);
}
