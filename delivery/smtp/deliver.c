/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/deliver.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "delivery/smtp/connect.h"
#include "delivery/smtp/generic.h"
#include "delivery/smtp/login.h"

struct attempt {
	struct smtp_delivery *d;
	struct smtp_cache *cache;
	struct smtp_lookup lookup;
	struct slice nexthop;     /* the one that is tried */
	struct slice key;         /* of sessions that may be kept: the job's next hop, and whose log-in it is */
	struct smtp_outcome outcome;
	const char *skip;         /* address that has answered for now already */
	char skip_address[128];
	size_t sessions;
	bool talked;              /* some server took part in a transaction */
};

static void session_failed(struct smtp_delivery *d, const struct smtp_failure *failure)
{
	d->last = *failure;
	d->failed_session = true;
}

static void finish_session(struct attempt *a, struct smtp_session *session)
{
	if (smtp_cache_give(a->cache, &session))
		a->outcome.kept = true;
}

/* Over a connection that an earlier delivery left. */
static void use_kept(struct attempt *a)
{
	struct smtp_delivery *d = a->d;
	struct smtp_session *s = smtp_cache_take(a->cache, a->key);

	if (!s)
		return;
	d->connected = loop_now();
	smtp_transaction(d, s);
	if (!d->failed_session) {
		/* It has answered; asking the same server again at once makes no sense. */
		(void)snprintf(a->skip_address, sizeof(a->skip_address), "%s", s->address);
		a->skip = a->skip_address;
		a->talked = true;
	} else {
		/* Not a word on the recipients: a kept connection may end at any time. */
		for (size_t i = 0; i < d->count; i++)
			d->recipient[i].tried = false;
	}
	finish_session(a, s);
}

/* A greeted session, or NULL; the policy that was found may be given up for a new connection. */
static struct smtp_session *open_session(struct attempt *a, const struct smtp_target *target,
					 const struct smtp_policy *policy, bool *without_tls,
					 struct smtp_failure *failure)
{
	struct smtp_delivery *d = a->d;
	struct smtp_session *s;
	enum smtp_greeting greeting;
	int fd = smtp_connect(target, d->settings, d->arena, failure);

	*without_tls = false;
	if (fd < 0) {
		log_info("%.*s", SLICE_FMT(failure->text));
		return NULL;
	}
	a->sessions++;
	s = smtp_session_create(stream_of_fd(fd), target, a->key);
	greeting = smtp_session_greet(s, d->settings, policy, d->arena, failure);
	if (greeting == SMTP_GREETED)
		return s;
	*without_tls = greeting == SMTP_WITHOUT_TLS;
	if (!failure->permanent)
		log_info("%.*s: %.*s", SLICE_FMT(d->job->queue_id), SLICE_FMT(failure->text));
	smtp_session_free(&s);
	return NULL;
}

/* Encryption that is a wish only does not keep mail back for ever: what has waited once goes without. */
static bool may_go_plain(const struct smtp_delivery *d)
{
	return loop_now() - d->job->envelope.arrival >= d->settings->security->plain_after;
}

/* *found stays NULL where nobody logs in. */
static bool find_account(const struct attempt *a, const struct smtp_target *target, struct smtp_account *account,
			 const struct smtp_account **found, struct smtp_failure *failure)
{
	const struct smtp_login_key key = { a->d->job->envelope.sender, target->host, a->nexthop };
	int result;

	if (!a->d->settings->login)
		return true;
	result = smtp_login_find(a->d->settings->login, &key, a->d->arena, account, failure);
	if (result > 0)
		*found = account;
	return result >= 0;
}

static struct smtp_session *reach_target(struct attempt *a, const struct smtp_target *target,
					 struct smtp_failure *failure)
{
	struct smtp_policy plain = { .level = TLS_NONE };
	struct smtp_account account;
	struct smtp_policy policy;
	struct smtp_session *s;
	bool without_tls;

	if (!smtp_security_find(&a->lookup, a->nexthop, target, &policy, failure) ||
	    !find_account(a, target, &account, &policy.account, failure)) {
		log_info("%.*s: %.*s", SLICE_FMT(a->d->job->queue_id), SLICE_FMT(failure->text));
		return NULL;
	}
	plain.account = policy.account;
	s = open_session(a, target, &policy, &without_tls, failure);
	if (s || !without_tls || !may_go_plain(a->d))
		return s;
	return open_session(a, target, &plain, &without_tls, failure);
}

static void try_target(struct attempt *a, const struct smtp_target *target)
{
	struct smtp_delivery *d = a->d;
	struct smtp_failure failure;
	struct smtp_session *s = reach_target(a, target, &failure);

	if (!s) {
		session_failed(d, &failure);
		if (failure.permanent)
			smtp_decide_all(d, DELIVERY_BOUNCED, &failure);
		return;
	}
	d->connected = loop_now();
	smtp_transaction(d, s);
	if (d->undecided > 0 && d->failed_session)
		log_info("%.*s: %.*s", SLICE_FMT(d->job->queue_id), SLICE_FMT(d->last.text));
	a->talked = true;
	finish_session(a, s);
}

static void use_targets(struct attempt *a, const struct smtp_target_list *list)
{
	struct smtp_delivery *d = a->d;
	size_t limit = d->settings->address_limit;

	for (size_t i = 0; i < list->count && d->undecided > 0 && !task_cancelled(); i++) {
		if (limit > 0 && i >= limit)
			return;
		if (d->settings->session_limit > 0 && a->sessions >= d->settings->session_limit)
			return;
		if (a->skip && slice_eq(list->target[i].text, slice_of(a->skip)))
			continue;
		try_target(a, &list->target[i]);
	}
}

/* False: there is nothing to gain from a fallback. */
static bool use_nexthop(struct attempt *a, struct slice nexthop)
{
	struct smtp_delivery *d = a->d;
	struct smtp_target_list list;
	struct smtp_failure failure;

	a->nexthop = nexthop;
	if (!smtp_targets_find(&a->lookup, nexthop, &list, &failure)) {
		session_failed(d, &failure);
		return !failure.permanent;
	}
	use_targets(a, &list);
	return true;
}

static void use_all(struct attempt *a)
{
	struct smtp_delivery *d = a->d;
	struct slice rest = slice_of(d->settings->fallback_relay);
	struct slice word;
	bool more = use_nexthop(a, d->job->nexthop);

	while (more && d->undecided > 0 && !task_cancelled() && slice_word(&rest, ", \t\r\n", &word)) {
		a->sessions = 0;
		more = use_nexthop(a, word);
	}
}

/* Whoever is left gets what was said last. */
static void settle(struct attempt *a)
{
	struct smtp_delivery *d = a->d;
	struct smtp_failure unknown;

	for (size_t i = 0; i < d->count; i++) {
		struct smtp_recipient *r = &d->recipient[i];
		const struct smtp_failure *f = r->tried ? &r->failure : d->failed_session ? &d->last : NULL;

		if (r->decided)
			continue;
		if (!f) {
			smtp_fail(&unknown, d->arena, "4.3.0", "delivery was not attempted");
			f = &unknown;
		}
		smtp_decide(d, i, f->permanent ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, f);
	}
}

static bool make_generic(struct smtp_delivery *d, struct err *err)
{
	const struct smtp_generic *g = d->settings->generic;
	bool ok;

	if (!g)
		return true;
	ok = smtp_generic_address(g, d->arena, &d->sender, err) &&
	     smtp_generic_content(g, &d->content, d->job, d->arena, err);
	for (size_t i = 0; ok && i < d->count; i++)
		ok = smtp_generic_address(g, d->arena, &d->recipient[i].wire, err);
	return ok;
}

struct smtp_outcome smtp_deliver(struct smtp_delivery *d, struct smtp_cache *cache, struct ipc_client *resolver)
{
	struct attempt a = { .d = d, .cache = cache, .lookup = { smtp_ask_resolver, resolver, d->settings, d->arena, 0 } };
	struct smtp_failure failure;
	struct err err = { 0 };

	d->started = d->connected = loop_now();
	d->count = d->undecided = d->job->envelope.recipient_count;
	d->recipient = arena_alloc(d->arena, (d->count + 1) * sizeof(*d->recipient));
	d->sender = d->job->envelope.sender;
	for (size_t i = 0; i < d->count; i++) {
		d->recipient[i].recipient = &d->job->envelope.recipients[i];
		d->recipient[i].wire = d->recipient[i].recipient->address;
	}
	if (!content_open(&d->content, d->job, d->settings->line_limit, d->arena, &err) || !make_generic(d, &err)) {
		log_warning("%.*s: %s", SLICE_FMT(d->job->queue_id), err.text);
		smtp_fail(&failure, d->arena, "4.3.0", "mail system configuration or queue file error");
		smtp_decide_all(d, DELIVERY_DEFERRED, &failure);
		return a.outcome;
	}
	a.key = d->job->nexthop;
	/* A session is its sender's then, and serves nobody else. */
	if (d->settings->login && d->settings->login->sender_dependent)
		a.key = slice_of(arena_printf(d->arena, "%.*s %.*s", SLICE_FMT(a.key), SLICE_FMT(d->job->envelope.sender)));
	smtp_cache_note(cache, a.key);
	use_kept(&a);
	if (d->undecided > 0 && !task_cancelled())
		use_all(&a);
	/* Our own shutdown says nothing of the destination; a permanent failure is each message's own. */
	a.outcome.dead = !a.talked && d->failed_session && !d->last.permanent && !task_cancelled();
	settle(&a);
	return a.outcome;
}
