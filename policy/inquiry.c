/* SPDX-License-Identifier: ISC */
/* A question on its way through rules: applying them, and the ways to say no. */
#include <stdarg.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "policy/rules.h"

#define DEPTH_MAX    100
#define DNS_TIMEOUT  30.0

/* --- applying --- */

static void log_permit(struct inquiry *q, const struct rule *rule)
{
	struct err err;
	struct str text = { 0 };

	if (q->quiet || match_list_test(q->policy->log_permits, rule->word, &err) != TABLE_FOUND)
		return;
	str_printf(&text, "action=%.*s", SLICE_FMT(rule->word));
	policy_log(q->facts, "permit", str_cstr(&text));
	str_free(&text);
}

static enum verdict forbidden_permission(struct inquiry *q, const struct rule *rule)
{
	return configuration_error(q, "restriction %s returns OK: use DUNNO instead, for OK would let in whoever "
				   "chooses such a name", rule->type->name);
}

enum verdict rules_apply(struct inquiry *q, const struct rule *rules)
{
	enum verdict verdict = VERDICT_DUNNO;

	if (q->depth > DEPTH_MAX)
		return configuration_error(q, "restrictions in restrictions in restrictions …: %d deep", DEPTH_MAX);
	q->depth++;
	for (const struct rule *r = rules; r && verdict == VERDICT_DUNNO; r = r->next) {
		/* As in Postfix: whatever this list would say, it would be for later. */
		if (q->if_permit->active && q->if_reject.active)
			break;
		bool warned = q->warn_only;

		q->warn_only = warned || r->warn;
		verdict = r->type->apply(q, r);
		q->warn_only = warned;
		if (verdict == VERDICT_PERMIT && r->type->unsafe_ok)
			verdict = forbidden_permission(q, r);
		if (verdict == VERDICT_PERMIT)
			log_permit(q, r);
	}
	q->depth--;
	return verdict;
}

/* --- what it is about --- */

static const struct {
	const char *kind;
} kinds[] = {
	[ABOUT_CLIENT] = { "Client host" }, [ABOUT_REVERSE_CLIENT] = { "Unverified Client host" },
	[ABOUT_CERTIFICATE] = { "Client certificate" }, [ABOUT_LOGIN] = { "SASL login name" },
	[ABOUT_HELO] = { "Helo command" }, [ABOUT_SENDER] = { "Sender address" },
	[ABOUT_RECIPIENT] = { "Recipient address" }, [ABOUT_DATA] = { "Data command" },
	[ABOUT_END_OF_DATA] = { "End-of-data" }, [ABOUT_ETRN] = { "Etrn command" }, [ABOUT_ORIGIN] = { "Client" },
};

bool inquiry_about(const struct inquiry *q, enum subject subject, struct about *about)
{
	const struct policy_facts *f = q->facts;

	if (subject == ABOUT_LIST)
		subject = q->list_subject;
	*about = (struct about){ SLICE_NONE, kinds[subject].kind, subject };
	switch (subject) {
	case ABOUT_CLIENT:
		about->name = slice_of(arena_printf(q->arena, "%s[%s]", f->client->name, f->client->address));
		return true;
	case ABOUT_REVERSE_CLIENT:
		about->name = slice_of(f->client->reverse_name);
		return true;
	case ABOUT_HELO:
		about->name = f->helo;
		return f->helo.len > 0;
	case ABOUT_SENDER:
		about->name = f->sender;
		return f->has_sender;
	case ABOUT_RECIPIENT:
		about->name = f->recipient;
		return f->recipient.len > 0;
	case ABOUT_LOGIN:
		about->name = f->login;
		return f->login.len > 0;
	case ABOUT_DATA:
		about->name = SLICE("DATA");
		return true;
	case ABOUT_END_OF_DATA:
		about->name = SLICE("END-OF-MESSAGE");
		return true;
	case ABOUT_ETRN:
		about->name = f->etrn_domain;
		return f->etrn_domain.len > 0;
	case ABOUT_ORIGIN:
		about->name = slice_of(f->client->address);
		return true;
	case ABOUT_LIST:
	case ABOUT_CERTIFICATE:
		break;
	}
	return false;
}

/* --- saying no --- */

void policy_log(const struct policy_facts *f, const char *action, const char *text)
{
	struct str line = { 0 };

	str_printf(&line, "%s: %s: %s from %s[%s]: %s;", f->queue_id, action, f->command, f->client->name,
		   f->client->address, text);
	if (f->has_sender)
		str_printf(&line, " from=<%.*s>", SLICE_FMT(f->sender));
	if (f->recipient.len)
		str_printf(&line, " to=<%.*s>", SLICE_FMT(f->recipient));
	str_printf(&line, " proto=%s", f->protocol);
	if (f->helo.len)
		str_printf(&line, " helo=<%.*s>", SLICE_FMT(f->helo));
	if (f->login.len)
		str_printf(&line, " sasl_username=<%.*s>", SLICE_FMT(f->login));
	log_info("%s", str_cstr(&line));
	str_free(&line);
}

static void warn_instead(struct inquiry *q, const struct smtp_reply *r)
{
	struct str text = { 0 };

	str_printf(&text, "%d %s %s", r->code, r->dsn, r->text);
	policy_log(q->facts, "reject_warning", str_cstr(&text));
	str_free(&text);
}

static enum verdict give_refusal(struct inquiry *q, const struct smtp_reply *r)
{
	if (q->warn_only) {
		warn_instead(q, r);
		return VERDICT_DUNNO;
	}
	/* An earlier lookup that failed might have let this one in. */
	*q->reply = r->code >= 500 && q->if_reject.active ? q->if_reject.reply : *r;
	return VERDICT_REJECT;
}

static void fill(struct smtp_reply *r, int code, const char *dsn, const char *format, va_list ap)
{
	r->code = code;
	snprintf(r->dsn, sizeof(r->dsn), "%s", dsn);
	r->dsn[0] = (char)('0' + code / 100);
	vsnprintf(r->text, sizeof(r->text), format, ap);
}

enum verdict refuse(struct inquiry *q, int code, const char *dsn, const char *format, ...)
{
	struct smtp_reply r;
	va_list ap;

	va_start(ap, format);
	fill(&r, code, dsn, format, ap);
	va_end(ap);
	return give_refusal(q, &r);
}

/* The second and third part: of a sender, of a recipient, of anything else. */
static const struct {
	const char *sender, *recipient, *other;
} statuses[] = {
	{ "1.0", "1.0", "0.0" }, { "1.0", "1.1", "0.0" }, { "1.8", "1.2", "0.0" }, { "1.7", "1.3", "0.0" },
	{ "1.0", "1.4", "0.0" }, { "1.0", "1.5", "0.0" }, { "1.0", "1.6", "0.0" },
};

void fit_dsn(char dsn[16], enum subject subject)
{
	const char *detail = dsn + 2;

	if (strncmp(detail, "1.", 2) != 0)
		return;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (strcmp(detail, statuses[i].sender) != 0 && strcmp(detail, statuses[i].recipient) != 0)
			continue;
		const char *fitting = subject == ABOUT_SENDER ? statuses[i].sender
				    : subject == ABOUT_RECIPIENT ? statuses[i].recipient : statuses[i].other;

		/* "1.0" of a sender stands for several: it stays. */
		if (subject != ABOUT_RECIPIENT || strcmp(detail, "1.0") != 0)
			snprintf(dsn + 2, 14, "%s", fitting);
		return;
	}
}

/* "<name>: Kind rejected: text" */
static void fill_about(struct smtp_reply *r, const struct about *about)
{
	struct str text = { 0 };

	str_printf(&text, "<%.*s>: %s rejected: %s", SLICE_FMT(slice_sub(about->name, 0, 256)), about->kind, r->text);
	str_truncate(&text, text.len < sizeof(r->text) ? text.len : sizeof(r->text) - 1);
	memcpy(r->text, text.data, text.len + 1);
	str_free(&text);
	fit_dsn(r->dsn, about->subject);
}

enum verdict refuse_about(struct inquiry *q, const struct about *about, int code, const char *dsn, const char *format, ...)
{
	struct smtp_reply r;
	va_list ap;

	va_start(ap, format);
	fill(&r, code, dsn, format, ap);
	va_end(ap);
	fill_about(&r, about);
	return give_refusal(q, &r);
}

static enum verdict keep_for_later(struct inquiry *q, struct policy_deferral *deferral, const struct smtp_reply *r)
{
	if (q->warn_only) {
		warn_instead(q, r);
	} else if (!deferral->active) {
		deferral->active = true;
		deferral->reply = *r;
	}
	return VERDICT_DUNNO;
}

enum verdict defer_if_permit(struct inquiry *q, int code, const char *dsn, const char *format, ...)
{
	struct smtp_reply r;
	va_list ap;

	va_start(ap, format);
	fill(&r, code, dsn, format, ap);
	va_end(ap);
	return keep_for_later(q, q->if_permit, &r);
}

enum verdict defer_if_reject(struct inquiry *q, int code, const char *dsn, const char *format, ...)
{
	struct smtp_reply r;
	va_list ap;

	va_start(ap, format);
	fill(&r, code, dsn, format, ap);
	va_end(ap);
	return keep_for_later(q, &q->if_reject, &r);
}

enum verdict lookup_failed(struct inquiry *q, struct slice subject, const struct err *err)
{
	log_warning("%s", err->text);
	reply_set(q->reply, 451, "4.3.0", "<%.*s>: Temporary lookup failure", SLICE_FMT(slice_sub(subject, 0, 256)));
	return VERDICT_REJECT;
}

enum verdict configuration_error(struct inquiry *q, const char *format, ...)
{
	struct str text = { 0 };
	va_list ap;

	va_start(ap, format);
	str_vprintf(&text, format, ap);
	va_end(ap);
	log_warning("%s", str_cstr(&text));
	str_free(&text);
	reply_set(q->reply, 451, "4.3.5", "Server configuration error");
	return VERDICT_REJECT;
}

/* --- what several restrictions need --- */

static const struct route *find_route(struct inquiry *q, struct slice address, struct slice sender, struct route *route,
				      enum verdict *verdict)
{
	struct err err;

	if (router_resolve(q->policy->router, address, sender, q->arena, route, &err))
		return route;
	*verdict = lookup_failed(q, address, &err);
	return NULL;
}

const struct route *inquiry_recipient_route(struct inquiry *q, enum verdict *verdict)
{
	if (!q->has_recipient_route &&
	    !find_route(q, q->facts->recipient, q->facts->sender, &q->recipient_route, verdict))
		return NULL;
	q->has_recipient_route = true;
	return &q->recipient_route;
}

const struct route *inquiry_sender_route(struct inquiry *q, enum verdict *verdict)
{
	/* Where mail to the sender would go: from whom it would come does not matter. */
	if (!q->has_sender_route && !find_route(q, q->facts->sender, SLICE_NONE, &q->sender_route, verdict))
		return NULL;
	q->has_sender_route = true;
	return &q->sender_route;
}

void inquiry_dns(struct inquiry *q, struct slice name, enum dns_type type, struct dns_answer *answer)
{
	resolver_query(q->policy->resolver, name, type, loop_now() + DNS_TIMEOUT, q->arena, answer);
}
