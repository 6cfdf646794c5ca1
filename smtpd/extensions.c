/* SPDX-License-Identifier: ISC */
/* REQUIRETLS (RFC 8689), DELIVERBY (RFC 2852) and XVERP, parameters of MAIL; ETRN (RFC 1985). */
#include "common/base/log.h"
#include "common/base/task.h"
#include "common/mail/address.h"
#include "common/mail/verp.h"
#include "common/proto/qmgr_proto.h"
#include "smtpd/session.h"

#define BY_DIGITS 9

static const char BAD_BY[] = "Bad BY parameter syntax";

static bool may_verp(const struct session *s)
{
	struct err err;

	return s->settings->verp &&
	       match_list_test_client(s->settings->verp, slice_of(s->client->name), slice_of(s->client->address), &err) ==
		       TABLE_FOUND;
}

void session_announce_extensions(struct session *s, struct str *out)
{
	/* Over TLS only (RFC 8689, section 2). */
	if (s->tls)
		str_append_text(out, "250-REQUIRETLS\r\n");
	if (s->settings->deliver_by)
		str_append_text(out, "250-DELIVERBY\r\n");
	if (may_verp(s))
		str_append_text(out, "250-XVERP\r\n");
}

/* "120;R", "-5;NT" (section 4). */
static const char *take_by(struct message_envelope *e, struct slice value)
{
	struct slice number, mode = value;
	uint64_t seconds;
	bool late;

	if (!slice_cut(&mode, ';', &number) || mode.len == 0)
		return BAD_BY;
	late = number.len > 0 && number.ptr[0] == '-';
	number = slice_sub(number, late || (number.len > 0 && number.ptr[0] == '+') ? 1 : 0, number.len);
	if (number.len > BY_DIGITS || !slice_to_u64(number, &seconds))
		return BAD_BY;
	e->by_return = slice_eq_nocase(slice_sub(mode, 0, 1), SLICE("R"));
	e->by_trace = slice_eq_nocase(slice_sub(mode, 1, mode.len), SLICE("T"));
	if (!(e->by_return || slice_eq_nocase(slice_sub(mode, 0, 1), SLICE("N"))) || (mode.len > 1 && !e->by_trace) ||
	    (e->by_return && (late || seconds == 0)))
		return BAD_BY;
	e->deliver_by = loop_now() + (late ? -(double)seconds : (double)seconds);
	return NULL;
}

bool session_take_extension(struct session *s, struct transaction *t, struct slice name, struct slice value,
			    const char **problem)
{
	*problem = NULL;
	if (slice_eq_nocase(name, SLICE("REQUIRETLS")) && s->tls) {
		t->envelope.require_tls = true;
		*problem = value.len > 0 ? "Bad REQUIRETLS parameter syntax" : NULL;
		return true;
	}
	if (slice_eq_nocase(name, SLICE("BY")) && s->settings->deliver_by) {
		*problem = take_by(&t->envelope, value);
		return true;
	}
	if (!slice_eq_nocase(name, SLICE("XVERP")) || !may_verp(s))
		return false;
	if (value.len == 0)
		value = slice_of(s->settings->verp_delimiters);
	if (verp_delimiters_valid(value, s->settings->verp_filter))
		t->envelope.verp = arena_slice(t->arena, value);
	else
		*problem = "Bad XVERP parameter syntax";
	return true;
}

/* --- ETRN --- */

static bool is_site(struct slice site)
{
	return site.len > 0 && (site.ptr[0] == '[' ? address_valid_literal(site) : address_valid_hostname(site));
}

static bool etrn_allowed(struct session *s, struct slice site)
{
	struct policy_memory unused = { 0 };
	struct arena *arena = arena_create(0);
	struct policy_facts facts;
	struct policy_question question = { POLICY_ETRN, &facts, &s->policy, &unused, arena };
	struct smtp_reply refusal = { 0 };
	bool ok;

	session_fill_facts(s, &facts);
	facts.command = "ETRN";
	facts.etrn_domain = site;
	ok = s->ops->ask(s->ops->context, &question, &refusal);
	if (!ok)
		reply_with(s, &refusal);
	arena_free(&arena);
	return ok;
}

static void flush_site(struct session *s, struct slice site)
{
	switch (s->ops->flush(s->ops->context, site)) {
	case FLUSH_STARTED:
		reply(s, 250, "2.0.0", "Queuing started");
		break;
	case FLUSH_NOT_ELIGIBLE:
		reply(s, 459, "4.7.1", "<%.*s>: service unavailable", SLICE_FMT(site));
		break;
	case FLUSH_MALFORMED:
		reply(s, 501, "5.5.4", "Error: invalid parameter syntax");
		break;
	default:
		log_warning("unable to queue messages for %.*s", SLICE_FMT(site));
		reply(s, 458, "4.3.0", "<%.*s>: unable to queue messages", SLICE_FMT(site));
	}
}

void command_etrn(struct session *s, struct slice args)
{
	struct slice rest = args, site;

	if (!s->ops->flush) {
		reply(s, 502, "5.5.1", "Error: command not implemented");
	} else if (s->settings->helo_required && s->helo.len == 0) {
		reply(s, 503, "5.5.1", "Error: send HELO/EHLO first");
	} else if (s->transaction) {
		reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
	} else if (!slice_word(&rest, " \t", &site) || slice_trim(rest).len > 0) {
		reply(s, 500, "5.5.4", "Syntax: ETRN domain");
	} else {
		/* RFC 1985 section 5.3: "@" stands for its subdomains; we know sites only. */
		if (site.ptr[0] == '@' || site.ptr[0] == '#')
			site = slice_sub(site, 1, site.len);
		if (!is_site(site))
			reply(s, 501, "5.5.4", "Error: invalid parameter syntax");
		else if (etrn_allowed(s, site))
			flush_site(s, site);
	}
}
