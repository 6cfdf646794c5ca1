/* SPDX-License-Identifier: ISC */
/* The lists: loading them, and asking those of a stage. */
#include "policy/policy.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/proto/proxymap_proto.h"
#include "authn/mailauth_proto.h"
#include "common/proto/verify_proto.h"
#include "policy/rules.h"

static const struct {
	const char *parameter;
	enum subject subject;
} lists[POLICY_STAGES] = {
	[POLICY_CLIENT] = { "smtpd_client_restrictions", ABOUT_CLIENT },
	[POLICY_HELO] = { "smtpd_helo_restrictions", ABOUT_HELO },
	[POLICY_SENDER] = { "smtpd_sender_restrictions", ABOUT_SENDER },
	[POLICY_RELAY] = { "smtpd_relay_restrictions", ABOUT_RECIPIENT },
	[POLICY_RECIPIENT] = { "smtpd_recipient_restrictions", ABOUT_RECIPIENT },
	[POLICY_DATA] = { "smtpd_data_restrictions", ABOUT_DATA },
	[POLICY_END_OF_DATA] = { "smtpd_end_of_data_restrictions", ABOUT_END_OF_DATA },
	[POLICY_ETRN] = { "smtpd_etrn_restrictions", ABOUT_ETRN },
};

/* --- loading --- */

static void load_codes(struct policy_codes *codes, const struct config *c)
{
	const struct {
		int *code;
		const char *parameter;
	} rows[] = {
		{ &codes->reject, "reject_code" }, { &codes->defer, "defer_code" },
		{ &codes->access_reject, "access_map_reject_code" }, { &codes->access_defer, "access_map_defer_code" },
		{ &codes->dnsbl, "maps_rbl_reject_code" }, { &codes->relay, "relay_domains_reject_code" },
		{ &codes->invalid_helo, "invalid_hostname_reject_code" }, { &codes->non_fqdn, "non_fqdn_reject_code" },
		{ &codes->unknown_client, "unknown_client_reject_code" }, { &codes->unknown_helo, "unknown_hostname_reject_code" },
		{ &codes->unknown_address, "unknown_address_reject_code" },
		{ &codes->multi_recipient_bounce, "multi_recipient_bounce_reject_code" },
		{ &codes->plaintext, "plaintext_reject_code" },
		{ &codes->unverified_recipient, "unverified_recipient_reject_code" },
		{ &codes->unverified_sender, "unverified_sender_reject_code" },
		{ &codes->unverified_recipient_defer, "unverified_recipient_defer_code" },
		{ &codes->unverified_sender_defer, "unverified_sender_defer_code" },
		{ &codes->unknown_recipient[ROUTE_LOCAL], "unknown_local_recipient_reject_code" },
		{ &codes->unknown_recipient[ROUTE_RELAY], "unknown_relay_recipient_reject_code" },
		{ &codes->unknown_recipient[ROUTE_VIRTUAL_ALIAS], "unknown_virtual_alias_reject_code" },
		{ &codes->unknown_recipient[ROUTE_VIRTUAL_MAILBOX], "unknown_virtual_mailbox_reject_code" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		*rows[i].code = (int)config_int(c, rows[i].parameter);
	codes->unknown_recipient[ROUTE_DEFAULT] = 550;
}

static bool parents_match(const struct config *c)
{
	struct slice names = slice_of(config_text(c, "parent_domain_matches_subdomains")), word;

	while (slice_word(&names, " ,\t\r\n", &word))
		if (slice_eq(word, SLICE("smtpd_access_maps")))
			return true;
	return false;
}

static bool defers_if_permit(const struct config *c, const char *parameter)
{
	return strcmp(config_text(c, parameter), "defer_if_permit") == 0;
}

static void load_settings(struct policy *p)
{
	const struct config *c = p->config;

	load_codes(&p->codes, c);
	p->delimiter = config_text(c, "recipient_delimiter");
	p->null_key = config_text(c, "smtpd_null_access_lookup_key");
	p->dnsbl_reply = config_text(c, "default_rbl_reply");
	p->delay_reject = config_bool(c, "smtpd_delay_reject");
	p->relay_first = config_bool(c, "smtpd_relay_before_recipient_restrictions");
	p->reject_unlisted_recipient = config_bool(c, "smtpd_reject_unlisted_recipient");
	p->reject_unlisted_sender = config_bool(c, "smtpd_reject_unlisted_sender");
	p->parent_matches = parents_match(c);
	p->helo_defers_if_permit = defers_if_permit(c, "unknown_helo_hostname_tempfail_action");
	p->address_defers_if_permit = defers_if_permit(c, "unknown_address_tempfail_action");
	p->unverified_recipient_defers_if_permit = defers_if_permit(c, "unverified_recipient_tempfail_action");
	p->unverified_sender_defers_if_permit = defers_if_permit(c, "unverified_sender_tempfail_action");
	p->unverified_recipient_text = config_text(c, "unverified_recipient_reject_reason");
	p->unverified_sender_text = config_text(c, "unverified_sender_reject_reason");
	p->mailauth_wait = config_time(c, "mailauth_timeout");
	p->verify_wait = (double)(config_int(c, "address_verify_poll_count") - 1) * config_time(c, "address_verify_poll_delay");
}

static bool open_maps(struct policy *p, struct err *err)
{
	const struct {
		struct table_list **list;
		const char *parameter;
	} rows[] = { { &p->login_maps, "smtpd_sender_login_maps" }, { &p->dnsbl_replies, "rbl_reply_maps" },
		     { &p->client_certificates, "relay_clientcerts" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*rows[i].list = table_list_open(config_text(p->config, rows[i].parameter), err);
		if (!*rows[i].list)
			return err_prefix(err, "%s", rows[i].parameter);
	}
	p->backup_networks = match_list_open(config_text(p->config, "permit_mx_backup_networks"), MATCH_NETWORK, err);
	if (!p->backup_networks)
		return err_prefix(err, "permit_mx_backup_networks");
	p->log_permits = match_list_open(config_text(p->config, "smtpd_log_access_permit_actions"), MATCH_STRING, err);
	return p->log_permits || err_prefix(err, "smtpd_log_access_permit_actions");
}

/* Access tables may name classes that no list does: their tables have to be open by then. */
static bool compile_classes(struct policy *p, struct err *err)
{
	struct slice names = slice_of(config_text(p->config, "smtpd_restriction_classes")), name;
	const struct rule *unused;

	while (slice_word(&names, ", \t\r\n", &name)) {
		const char *parameter = arena_cstr(p->arena, name), *text = config_lookup(p->config, parameter);

		if (text && !rules_compile(p, parameter, text, ABOUT_RECIPIENT, &unused, err))
			return false;
	}
	return true;
}

static bool compile_all(struct policy *p, struct err *err)
{
	if (!compile_classes(p, err))
		return false;
	for (size_t i = 0; i < POLICY_STAGES; i++)
		if (!rules_compile(p, lists[i].parameter, config_text(p->config, lists[i].parameter), lists[i].subject,
				   &p->lists[i], err))
			return false;
	if (!rules_compile(p, "local_header_rewrite_clients", config_text(p->config, "local_header_rewrite_clients"), ABOUT_ORIGIN,
			   &p->local_clients, err))
		return false;
	if (rules_close(p->lists[POLICY_RELAY]) || rules_close(p->lists[POLICY_RECIPIENT]))
		return true;
	return err_set(err, ERR_SYNTAX,
		       "anybody could send anywhere through this host: smtpd_relay_restrictions or smtpd_recipient_restrictions "
		       "must have reject_unauth_destination, defer_unauth_destination, reject or defer");
}

struct policy *policy_create(const struct config *config, struct err *err)
{
	struct policy *p = mem_alloc(sizeof(*p));

	p->arena = arena_create(4096);
	p->config = config;
	load_settings(p);
	p->router = router_create(config, err);
	if (p->router && open_maps(p, err) && compile_all(p, err))
		return p;
	policy_free(&p);
	return NULL;
}

void policy_connect(struct policy *p, ipc_connect_fn *connect)
{
	p->resolver = ipc_client_create("resolver", &resolver_protocol, connect);
	p->proxymap = ipc_client_create("proxymap", &proxymap_protocol, connect);
	p->verify = ipc_client_create("verify", &verify_protocol, connect);
	p->mailauth = ipc_client_create("mailauth", &mailauth_protocol, connect);
}

bool policy_changed(struct policy *p)
{
	for (struct policy_table *t = p->tables; t; t = t->next)
		if (table_list_changed(t->list))
			return true;
	return table_list_changed(p->login_maps) || table_list_changed(p->dnsbl_replies) ||
	       table_list_changed(p->client_certificates) || match_list_changed(p->backup_networks) ||
	       match_list_changed(p->log_permits) || router_changed(p->router);
}

static void close_clients(struct policy *p)
{
	struct ipc_client **clients[] = { &p->resolver, &p->proxymap, &p->verify, &p->mailauth };

	for (size_t i = 0; i < 3; i++)
		if (*clients[i])
			ipc_client_free(clients[i]);
}

void policy_free(struct policy **policy)
{
	struct policy *p = *policy;

	if (!p)
		return;
	for (struct policy_table *t = p->tables; t; t = t->next)
		table_list_close(&t->list);
	for (struct policy_service *s = p->services; s; s = s->next)
		policy_service_close(s);
	struct table_list **maps[] = { &p->login_maps, &p->dnsbl_replies, &p->client_certificates };

	for (size_t i = 0; i < 3; i++)
		if (*maps[i])
			table_list_close(maps[i]);
	if (p->backup_networks)
		match_list_close(&p->backup_networks);
	if (p->log_permits)
		match_list_close(&p->log_permits);
	if (p->router)
		router_free(&p->router);
	close_clients(p);
	arena_free(&p->arena);
	free(p);
	*policy = NULL;
}

/* --- asking --- */

static enum verdict ask_list(struct inquiry *q, enum policy_stage stage)
{
	q->list_subject = lists[stage].subject;
	q->if_reject.active = false;
	q->warn_only = false;
	return rules_apply(q, q->policy->lists[stage]);
}

static bool refused(struct inquiry *q, enum policy_stage stage)
{
	return ask_list(q, stage) == VERDICT_REJECT;
}

/* What every stage ends with: it was permitted, unless a doubt remains. */
static bool in_doubt(struct inquiry *q)
{
	if (!q->if_permit->active)
		return false;
	*q->reply = q->if_permit->reply;
	return true;
}

static enum verdict unlisted(struct inquiry *q, enum subject subject)
{
	static const struct rule_type types[] = { { .subject = ABOUT_SENDER }, { .subject = ABOUT_RECIPIENT } };
	struct rule rule = { .type = &types[subject == ABOUT_RECIPIENT] };

	return rule_unlisted(q, &rule);
}

static bool sender_refused(struct inquiry *q)
{
	if (refused(q, POLICY_SENDER))
		return true;
	return q->policy->reject_unlisted_sender && !q->sender_was_checked && !q->memory->effects.discard &&
	       unlisted(q, ABOUT_SENDER) == VERDICT_REJECT;
}

static bool recipient_refused(struct inquiry *q)
{
	enum policy_stage first = q->policy->relay_first ? POLICY_RELAY : POLICY_RECIPIENT;
	enum policy_stage second = first == POLICY_RELAY ? POLICY_RECIPIENT : POLICY_RELAY;

	if (q->policy->delay_reject && (refused(q, POLICY_CLIENT) || refused(q, POLICY_HELO) || sender_refused(q)))
		return true;
	if (refused(q, first) || refused(q, second))
		return true;
	if (q->policy->reject_unlisted_recipient && !q->recipient_was_checked && !q->memory->effects.discard &&
	    unlisted(q, ABOUT_RECIPIENT) == VERDICT_REJECT)
		return true;
	return in_doubt(q);
}

/* Of a form that is none here, though SMTP's grammar has it. */
static bool bad_syntax(struct inquiry *q, struct slice address, const char *dsn, const char *what)
{
	if (router_valid_address(q->policy->router, address))
		return false;
	reply_set(q->reply, 501, dsn, "Bad %s address syntax", what);
	return true;
}

/* A failing table makes others' mail of it: their addresses stay as they are. */
static void find_origin(struct inquiry *q)
{
	struct smtp_reply unused = { 0 };
	struct inquiry origin = *q;
	struct policy_deferral doubt = { 0 };

	origin.reply = &unused;
	origin.if_permit = &doubt;
	origin.list_subject = ABOUT_ORIGIN;
	origin.quiet = true;
	q->memory->effects.from_here = rules_apply(&origin, q->policy->local_clients) == VERDICT_PERMIT;
}

static bool stage_refused(struct inquiry *q, enum policy_stage stage)
{
	switch (stage) {
	case POLICY_CLIENT:
	case POLICY_HELO:
		return !q->policy->delay_reject && refused(q, stage);
	case POLICY_SENDER:
		find_origin(q);
		return bad_syntax(q, q->facts->sender, "5.1.7", "sender") || (!q->policy->delay_reject && sender_refused(q));
	case POLICY_RECIPIENT:
		return bad_syntax(q, q->facts->recipient, "5.1.3", "recipient") || recipient_refused(q);
	case POLICY_ETRN:
		if (q->policy->delay_reject && (refused(q, POLICY_CLIENT) || refused(q, POLICY_HELO)))
			return true;
		return refused(q, stage) || in_doubt(q);
	default:
		return refused(q, stage) || in_doubt(q);
	}
}

bool policy_ask(struct policy *policy, const struct policy_question *question, struct smtp_reply *reply)
{
	/* Doubts of before MAIL count at each recipient; those about one recipient end with it. */
	struct policy_deferral doubt = question->session->deferral;
	bool before = question->stage == POLICY_CLIENT || question->stage == POLICY_HELO || question->stage == POLICY_SENDER;
	struct inquiry q = {
		.policy = policy, .facts = question->facts, .memory = question->transaction, .arena = question->arena,
		.reply = reply, .if_permit = &doubt,
	};

	if (!doubt.active)
		doubt = question->transaction->deferral;
	if (stage_refused(&q, question->stage)) {
		struct str text = { 0 };

		str_printf(&text, "%d %s %s", reply->code, reply->dsn, reply->text);
		policy_log(question->facts, "reject", str_cstr(&text));
		str_free(&text);
		return false;
	}
	if (before)
		question->transaction->deferral = doubt;
	return true;
}
