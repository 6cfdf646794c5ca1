/* SPDX-License-Identifier: ISC */
#include "smtpd/authentication.h"

#include "common/base/log.h"
#include "common/mail/address.h"

#define EXPLANATION_MAX 300

/* --- settings --- */

static bool load_policy(const struct config *c, const char *name,
			enum authentication_policy *policy, struct err *err)
{
	static const char *const words[] = {"off", "mark", "enforce"};
	const char *value = config_text(c, name);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0) {
			*policy = (enum authentication_policy)i;
			return true;
		}
	return err_set(err, ERR_SYNTAX, "%s: \"%s\" is none of off, mark, enforce", name, value);
}

static bool load_quarantine(struct authentication *a, const struct config *c, struct err *err)
{
	const char *value = config_text(c, "dmarc_quarantine_action");

	if (strncasecmp(value, "FILTER ", 7) == 0 && strchr(value, ':')) {
		a->quarantine = QUARANTINE_FILTER;
		a->filter = value + 7 + strspn(value + 7, " ");
		return true;
	}
	a->quarantine = strcmp(value, "hold") == 0 ? QUARANTINE_HOLD : QUARANTINE_MARK;
	return a->quarantine == QUARANTINE_HOLD || strcmp(value, "mark") == 0 ||
	       err_set(err, ERR_SYNTAX,
		       "dmarc_quarantine_action: \"%s\" is none of mark, hold, FILTER "
		       "transport:destination",
		       value);
}

bool authentication_load(struct authentication *a, const struct config *c, struct err *err)
{
	const char *temporary = config_text(c, "mailauth_temporary_action");

	if (!load_policy(c, "spf_policy", &a->spf, err) ||
	    !load_policy(c, "dkim_policy", &a->dkim, err) ||
	    !load_policy(c, "dmarc_policy", &a->dmarc, err) || !load_quarantine(a, c, err))
		return false;
	a->defers = strcmp(temporary, "defer") == 0;
	if (!a->defers && strcmp(temporary, "mark") != 0)
		return err_set(err, ERR_SYNTAX,
			       "mailauth_temporary_action: \"%s\" is neither mark nor defer",
			       temporary);
	a->timeout = config_time(c, "mailauth_timeout");
	a->trusted =
	    match_list_open(config_text(c, "mailauth_trusted_clients"), MATCH_NETWORK, err);
	if (!a->trusted)
		return err_prefix(err, "mailauth_trusted_clients");
	if (!*config_text(c, "mailauth_exceptions"))
		return true;
	a->exceptions = table_list_open(config_text(c, "mailauth_exceptions"), err);
	return a->exceptions || err_prefix(err, "mailauth_exceptions");
}

void authentication_connect(struct authentication *a, ipc_connect_fn *connect)
{
	if (a->spf || a->dkim || a->dmarc)
		a->client = ipc_client_create("mailauth", &mailauth_protocol, connect);
}

bool authentication_changed(const struct authentication *a)
{
	return match_list_changed(a->trusted) ||
	       (a->exceptions && table_list_changed(a->exceptions));
}

/* --- a message --- */

struct check {
	const struct authentication *a;
	const struct policy_facts *facts;
	const struct mailauth_answer *answer;
	struct arena *arena;
	struct smtp_reply *reply;
};

static bool refuse(struct check *c, int code, const char *dsn, const char *text)
{
	char line[600];

	reply_set(c->reply, code, dsn, "%s", text);
	snprintf(line, sizeof(line), "%d %s %s", code, dsn, text);
	policy_log(c->facts, "reject", line);
	return false;
}

/* 1: listed, 0: not, -1: the table does not answer. */
static int is_exception(const struct check *c)
{
	struct slice keys[] = {slice_of(c->facts->client->address),
			       slice_of(c->facts->client->name), c->answer->dmarc_domain,
			       c->answer->spf_domain};
	struct slice value;
	struct err err;

	for (size_t i = 0; c->a->exceptions && i < sizeof(keys) / sizeof(keys[0]); i++) {
		enum table_result result;

		if (keys[i].len == 0)
			continue;
		result = table_list_lookup(c->a->exceptions, keys[i], c->arena, &value, &err);
		if (result == TABLE_FOUND)
			return 1;
		if (result == TABLE_ERROR) {
			log_warning("mailauth_exceptions: %s", err.text);
			return -1;
		}
	}
	return 0;
}

static bool check_temporary(struct check *c)
{
	const struct mailauth_answer *r = c->answer;
	bool missing = (c->a->spf && r->spf == SPF_TEMPERROR) ||
		       (c->a->dkim && r->dkim_temporary) ||
		       (c->a->dmarc && r->dmarc == DMARC_TEMPERROR);

	/* What has passed otherwise needs no more. */
	if (!c->a->defers || !missing || r->dmarc == DMARC_PASS)
		return true;
	return refuse(c, 451, "4.7.24",
		      "Sender authentication cannot be checked now; try again later");
}

static bool check_spf(struct check *c)
{
	const struct mailauth_answer *r = c->answer;

	if (c->a->spf != AUTHENTICATION_ENFORCE || r->spf != SPF_FAIL)
		return true;
	return refuse(c, 550, "5.7.23",
		      arena_printf(c->arena, "SPF validation failed: %.*s does not permit %s; %.*s",
				   SLICE_FMT(slice_sub(r->spf_domain, 0, 200)),
				   c->facts->client->address,
				   SLICE_FMT(slice_sub(r->spf_explanation, 0, EXPLANATION_MAX))));
}

static bool check_dkim(struct check *c)
{
	if (c->a->dkim != AUTHENTICATION_ENFORCE || !c->answer->dkim_failed)
		return true;
	return refuse(c, 550, "5.7.20", "No DKIM signature of the message is valid");
}

static bool check_dmarc(struct check *c, struct authentication_effect *effect)
{
	const struct mailauth_answer *r = c->answer;

	if (c->a->dmarc != AUTHENTICATION_ENFORCE || r->dmarc_override.len > 0)
		return true;
	if (r->dmarc == DMARC_PERMERROR)
		return refuse(
		    c, 550, "5.7.1",
		    arena_printf(c->arena, "Message rejected: %.*s",
				 SLICE_FMT(slice_sub(r->dmarc_reason, 0, EXPLANATION_MAX))));
	if (r->dmarc != DMARC_FAIL || r->disposition == DMARC_POLICY_NONE)
		return true;
	if (r->disposition == DMARC_POLICY_REJECT)
		return refuse(
		    c, 550, "5.7.1",
		    arena_printf(c->arena, "DMARC policy of %.*s rejects this message: %.*s",
				 SLICE_FMT(slice_sub(r->dmarc_domain, 0, 200)),
				 SLICE_FMT(slice_sub(r->dmarc_reason, 0, EXPLANATION_MAX))));
	effect->hold = c->a->quarantine == QUARANTINE_HOLD;
	if (c->a->quarantine == QUARANTINE_FILTER)
		effect->filter = slice_of(c->a->filter);
	if (c->a->quarantine != QUARANTINE_MARK)
		policy_log(c->facts, effect->hold ? "hold" : "filter",
			   arena_printf(c->arena, "DMARC policy of %.*s: quarantine",
					SLICE_FMT(slice_sub(r->dmarc_domain, 0, 200))));
	return true;
}

static bool decide(struct check *c, struct authentication_effect *effect)
{
	int exception = is_exception(c);

	if (exception < 0)
		return refuse(c, 451, "4.3.0", "Temporary lookup failure");
	if (exception > 0)
		return true;
	return check_temporary(c) && check_spf(c) && check_dkim(c) && check_dmarc(c, effect);
}

bool authentication_check(const struct authentication *a, const struct authentication_message *m,
			  struct authentication_effect *effect, struct smtp_reply *reply)
{
	const struct policy_facts *facts = m->facts;
	struct mailauth_question question = {.id = slice_of(facts->queue_id),
					     .address = slice_of(facts->client->address),
					     .client_name = slice_of(facts->client->name),
					     .helo = facts->helo,
					     .sender = facts->sender,
					     .length = m->length};
	struct mailauth_answer *answer = arena_alloc(m->arena, sizeof(*answer));
	struct check c = {a, facts, answer, m->arena, reply};
	enum table_result trusted;
	struct err err;

	*effect = (struct authentication_effect){0};
	trusted = match_list_test_client(a->trusted, question.client_name, question.address, &err);
	if (trusted == TABLE_ERROR) {
		log_warning("mailauth_trusted_clients: %s", err.text);
		return refuse(&c, 451, "4.3.0", "Temporary lookup failure");
	}
	if (trusted == TABLE_FOUND)
		return true;
	effect->foreign = true;
	if (facts->login.len > 0 || !a->client)
		return true;
	mailauth_ask(a->client, &question, m->fd, loop_now() + a->timeout, m->arena, answer);
	effect->answer = answer;
	if (!answer->known)
		log_warning("%s: mailauth does not answer: the message's origin is not checked",
			    facts->queue_id);
	return decide(&c, effect);
}
