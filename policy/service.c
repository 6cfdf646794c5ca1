/* SPDX-License-Identifier: ISC */
/*
 * check_policy_service: attributes in, an action of access(5) out, as Postfix's SMTPD_POLICY_README says.
 * The server is asked by proxymap (table type "policy"), which may connect; see tables/servers/policy.c.
 */
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/config/params.h"
#include "common/proto/proxymap_proto.h"
#include "common/tls/info.h"
#include "policy/rules.h"

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
	else if (slice_eq(name, SLICE("try_limit")) && slice_to_i64(value, &number) && number > 0)
		s->tries = (long)number;
	/* How long proxymap keeps connections is its own affair. */
	else if (!slice_eq(name, SLICE("max_idle")) && !slice_eq(name, SLICE("max_ttl")) &&
		 !slice_eq(name, SLICE("request_limit")))
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

/* --- asking --- */

static bool ask(struct inquiry *q, const struct policy_service *s, struct proxymap_answer *answer, struct err *err)
{
	struct str text = { 0 };
	struct proxymap_question question;
	bool ok = false;

	write_question(q, s, &text);
	question.table = slice_of(arena_printf(q->arena, "policy:%.*s", SLICE_FMT(s->server)));
	question.key = str_slice(&text);
	for (long i = 0; i < s->tries && !ok; i++) {
		if (i > 0 && task_sleep(s->retry_delay) != TASK_READY)
			break;
		ok = proxymap_ask(q->policy->proxymap, &question, loop_now() + s->timeout, q->arena, answer, err);
		if (ok && answer->status != PROXYMAP_FOUND)
			ok = err_set(err, ERR_TEMPORARY, "%.*s",
				     SLICE_FMT(answer->status == PROXYMAP_ERROR ? answer->text : SLICE("no action in the answer")));
	}
	str_free(&text);
	return ok;
}

enum verdict rule_policy_service(struct inquiry *q, const struct rule *rule)
{
	const struct policy_service *s = rule->service;
	struct proxymap_answer answer = { .status = PROXYMAP_ERROR };
	struct slice action = s->default_action;
	struct about about = { SLICE_NONE, "Policy", ABOUT_CLIENT };
	const char *server = arena_cstr(q->arena, s->server);
	struct err err = { 0 };

	(void)inquiry_about(q, ABOUT_LIST, &about);
	if (ask(q, s, &answer, &err))
		action = answer.text;
	else
		log_warning("problem talking to server %s: %s", server, err.text);
	return access_result(q, action, server, &about);
}
