/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "smtpd/restrictions.h"

#define WORDS_MAX 64

enum outcome { GO_ON, PERMIT, REJECT };

enum rule {
	RULE_PERMIT, RULE_REJECT, RULE_DEFER, RULE_PERMIT_MYNETWORKS, RULE_PERMIT_SASL,
	RULE_PERMIT_AUTH_DESTINATION, RULE_REJECT_UNAUTH_DESTINATION, RULE_DEFER_UNAUTH_DESTINATION,
	RULE_REJECT_UNLISTED_RECIPIENT, RULE_REJECT_NON_FQDN_SENDER, RULE_REJECT_NON_FQDN_RECIPIENT,
	RULE_REJECT_NON_FQDN_HELO, RULE_REJECT_INVALID_HELO, RULE_REJECT_UNAUTH_PIPELINING
};

static const struct {
	const char *name;
	enum rule rule;
} rules[] = {
	{ "permit", RULE_PERMIT },
	{ "reject", RULE_REJECT },
	{ "defer", RULE_DEFER },
	{ "permit_mynetworks", RULE_PERMIT_MYNETWORKS },
	{ "permit_sasl_authenticated", RULE_PERMIT_SASL },
	{ "permit_auth_destination", RULE_PERMIT_AUTH_DESTINATION },
	{ "reject_unauth_destination", RULE_REJECT_UNAUTH_DESTINATION },
	{ "defer_unauth_destination", RULE_DEFER_UNAUTH_DESTINATION },
	{ "reject_unlisted_recipient", RULE_REJECT_UNLISTED_RECIPIENT },
	{ "reject_non_fqdn_sender", RULE_REJECT_NON_FQDN_SENDER },
	{ "reject_non_fqdn_recipient", RULE_REJECT_NON_FQDN_RECIPIENT },
	{ "reject_non_fqdn_helo_hostname", RULE_REJECT_NON_FQDN_HELO },
	{ "reject_invalid_helo_hostname", RULE_REJECT_INVALID_HELO },
	/* The engine refuses what comes before its turn by itself. */
	{ "reject_unauth_pipelining", RULE_REJECT_UNAUTH_PIPELINING },
};

/* In the order of evaluation (smtpd_delay_reject = yes: all of them at RCPT). */
static const char *const lists[] = {
	"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions",
};
#define LIST_COUNT (sizeof(lists) / sizeof(lists[0]))

struct restrictions {
	struct router *router;
	enum rule list[LIST_COUNT][WORDS_MAX];
	size_t length[LIST_COUNT];
	bool reject_unlisted;
	int unknown_local_code;
};

/* --- parsing --- */

static bool parse_list(struct restrictions *r, const struct config *config, size_t list, struct err *err)
{
	struct slice rest = slice_of(config_text(config, lists[list])), word;

	while (slice_word(&rest, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < sizeof(rules) / sizeof(rules[0]) && !slice_eq_nocase(word, slice_of(rules[i].name)))
			i++;
		if (i == sizeof(rules) / sizeof(rules[0]))
			return err_set(err, ERR_SYNTAX, "%s: unknown restriction \"%.*s\"", lists[list],
				       SLICE_FMT(word));
		if (r->length[list] == WORDS_MAX)
			return err_set(err, ERR_LIMIT, "%s: more than %d restrictions", lists[list], WORDS_MAX);
		r->list[list][r->length[list]++] = rules[i].rule;
	}
	return true;
}

/* Does something in these lists stop strangers from sending to strangers? */
static bool closed_to_strangers(const struct restrictions *r)
{
	for (size_t list = LIST_COUNT - 2; list < LIST_COUNT; list++)
		for (size_t i = 0; i < r->length[list]; i++)
			switch (r->list[list][i]) {
			case RULE_REJECT_UNAUTH_DESTINATION:
			case RULE_DEFER_UNAUTH_DESTINATION:
			case RULE_REJECT:
			case RULE_DEFER:
				return true;
			case RULE_PERMIT:
				i = r->length[list] - 1; /* what follows is never reached */
				break;
			default:
				break;
			}
	return false;
}

struct restrictions *restrictions_create(const struct config *config, struct err *err)
{
	struct restrictions *r = mem_alloc(sizeof(*r));
	bool ok = true;

	r->reject_unlisted = config_bool(config, "smtpd_reject_unlisted_recipient");
	r->unknown_local_code = (int)config_int(config, "unknown_local_recipient_reject_code");
	for (size_t list = 0; ok && list < LIST_COUNT; list++)
		ok = parse_list(r, config, list, err);
	if (ok && !closed_to_strangers(r))
		ok = err_set(err, ERR_SYNTAX,
			     "smtpd_relay_restrictions or smtpd_recipient_restrictions must contain one of "
			     "reject_unauth_destination, defer_unauth_destination, reject, defer; "
			     "without it anybody could send anywhere through this host");
	if (ok)
		r->router = router_create(config, err);
	if (!r->router) {
		free(r);
		return NULL;
	}
	return r;
}

bool restrictions_changed(struct restrictions *r)
{
	return router_changed(r->router);
}

/* --- evaluation --- */

struct question {
	struct restrictions *r;
	const struct smtpd_facts *facts;
	struct arena *arena;
	struct smtpd_reply *reply;
	struct route route;
};

static enum outcome refuse(struct question *q, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static enum outcome refuse(struct question *q, int code, const char *dsn, const char *format, ...)
{
	va_list ap;

	q->reply->code = code;
	snprintf(q->reply->dsn, sizeof(q->reply->dsn), "%s", dsn);
	va_start(ap, format);
	vsnprintf(q->reply->text, sizeof(q->reply->text), format, ap);
	va_end(ap);
	return REJECT;
}

static enum outcome lookup_failed(struct question *q, struct slice subject, const struct err *err)
{
	log_warning("%s", err->text);
	return refuse(q, 451, "4.3.0", "<%.*s>: Temporary lookup failure", SLICE_FMT(subject));
}

static bool may_be_sent_here(const struct route *route)
{
	return route->class_ != ROUTE_DEFAULT && !route->routed;
}

static enum outcome unauth_destination(struct question *q, int code)
{
	if (may_be_sent_here(&q->route))
		return GO_ON;
	return refuse(q, code, code < 500 ? "4.7.1" : "5.7.1", "<%.*s>: Relay access denied",
		      SLICE_FMT(q->facts->recipient));
}

static enum outcome unlisted_recipient(struct question *q)
{
	static const char *const table[] = {
		[ROUTE_LOCAL] = "local recipient", [ROUTE_VIRTUAL_ALIAS] = "virtual alias",
		[ROUTE_VIRTUAL_MAILBOX] = "virtual mailbox", [ROUTE_RELAY] = "relay recipient",
		[ROUTE_DEFAULT] = "recipient",
	};
	struct err err;
	int exists = router_recipient_exists(q->r->router, &q->route, q->arena, &err);

	if (exists < 0)
		return lookup_failed(q, q->facts->recipient, &err);
	if (exists)
		return GO_ON;
	int code = q->route.class_ == ROUTE_LOCAL ? q->r->unknown_local_code : 550;

	return refuse(q, code, code < 500 ? "4.1.1" : "5.1.1",
		      "<%.*s>: Recipient address rejected: User unknown in %s table",
		      SLICE_FMT(q->facts->recipient), table[q->route.class_]);
}

static enum outcome non_fqdn(struct question *q, struct slice address, const char *what, const char *dsn)
{
	struct slice local, domain;

	address_split(address, &local, &domain);
	if (address.len == 0 || (domain.len > 0 && domain.ptr[0] == '[') || slice_find(domain, '.') > 0)
		return GO_ON;
	return refuse(q, 504, dsn, "<%.*s>: %s address rejected: need fully-qualified address",
		      SLICE_FMT(address), what);
}

static enum outcome helo(struct question *q, bool fqdn)
{
	struct slice name = q->facts->helo;

	if (name.len == 0 || address_valid_literal(name))
		return GO_ON;
	if (!address_valid_hostname(name))
		return refuse(q, 501, "5.5.2", "<%.*s>: Helo command rejected: Invalid name", SLICE_FMT(name));
	if (fqdn && slice_find(name, '.') < 0)
		return refuse(q, 504, "5.5.2", "<%.*s>: Helo command rejected: need fully-qualified hostname",
			      SLICE_FMT(name));
	return GO_ON;
}

static enum outcome mynetworks(struct question *q)
{
	struct err err;
	int inside = router_is_mynetworks(q->r->router, slice_of(q->facts->client->name),
					  slice_of(q->facts->client->address), &err);

	if (inside < 0)
		return lookup_failed(q, slice_of(q->facts->client->address), &err);
	return inside ? PERMIT : GO_ON;
}

static enum outcome apply(struct question *q, enum rule rule)
{
	struct slice recipient = q->facts->recipient;

	switch (rule) {
	case RULE_PERMIT:
		return PERMIT;
	case RULE_REJECT:
		return refuse(q, 554, "5.7.1", "<%.*s>: Recipient address rejected: Access denied",
			      SLICE_FMT(recipient));
	case RULE_DEFER:
		return refuse(q, 450, "4.7.1", "<%.*s>: Recipient address rejected: Try again later",
			      SLICE_FMT(recipient));
	case RULE_PERMIT_MYNETWORKS:
		return mynetworks(q);
	case RULE_PERMIT_AUTH_DESTINATION:
		return may_be_sent_here(&q->route) ? PERMIT : GO_ON;
	case RULE_REJECT_UNAUTH_DESTINATION:
		return unauth_destination(q, 554);
	case RULE_DEFER_UNAUTH_DESTINATION:
		return unauth_destination(q, 454);
	case RULE_REJECT_UNLISTED_RECIPIENT:
		return unlisted_recipient(q);
	case RULE_REJECT_NON_FQDN_SENDER:
		return non_fqdn(q, q->facts->sender, "Sender", "5.5.2");
	case RULE_REJECT_NON_FQDN_RECIPIENT:
		return non_fqdn(q, recipient, "Recipient", "5.5.2");
	case RULE_REJECT_NON_FQDN_HELO:
		return helo(q, true);
	case RULE_REJECT_INVALID_HELO:
		return helo(q, false);
	case RULE_PERMIT_SASL:
		return q->facts->login.len > 0 ? PERMIT : GO_ON;
	case RULE_REJECT_UNAUTH_PIPELINING:
		break;
	}
	return GO_ON;
}

bool restrictions_recipient(void *context, const struct smtpd_facts *facts, struct arena *arena,
			    struct smtpd_reply *reply)
{
	struct question q = { .r = context, .facts = facts, .arena = arena, .reply = reply };
	struct err err;

	if (!router_resolve(q.r->router, facts->recipient, facts->sender, arena, &q.route, &err))
		return lookup_failed(&q, facts->recipient, &err) != REJECT;
	for (size_t list = 0; list < LIST_COUNT; list++) {
		enum outcome outcome = GO_ON;

		for (size_t i = 0; i < q.r->length[list] && outcome == GO_ON; i++)
			outcome = apply(&q, q.r->list[list][i]);
		if (outcome == REJECT)
			return false;
	}
	return !q.r->reject_unlisted || unlisted_recipient(&q) != REJECT;
}
