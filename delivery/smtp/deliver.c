/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/deliver.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/task.h"
#include "delivery/smtp/connect.h"

struct attempt {
	struct smtp_delivery *d;
	struct smtp_cache *cache;
	struct ipc_client *resolver;
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
	struct smtp_session *s = smtp_cache_take(a->cache, d->job->nexthop);

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

static void try_target(struct attempt *a, const struct smtp_target *target)
{
	struct smtp_delivery *d = a->d;
	struct smtp_failure failure;
	struct smtp_session *s;
	int fd = smtp_connect(target, d->settings, d->arena, &failure);

	if (fd < 0) {
		log_info("%.*s", SLICE_FMT(failure.text));
		session_failed(d, &failure);
		return;
	}
	a->sessions++;
	s = smtp_session_create(stream_of_fd(fd), target, d->job->nexthop);
	if (!smtp_session_greet(s, d->settings, d->arena, &failure)) {
		session_failed(d, &failure);
		if (d->undecided > 0 && failure.permanent)
			smtp_decide_all(d, DELIVERY_BOUNCED, &failure);
		else
			log_info("%.*s: %.*s", SLICE_FMT(d->job->queue_id), SLICE_FMT(failure.text));
		smtp_session_free(&s);
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
	struct smtp_lookup lookup = { smtp_ask_resolver, a->resolver, d->settings, d->arena, 0 };

	if (!smtp_targets_find(&lookup, nexthop, &list, &failure)) {
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

struct smtp_outcome smtp_deliver(struct smtp_delivery *d, struct smtp_cache *cache, struct ipc_client *resolver)
{
	struct attempt a = { .d = d, .cache = cache, .resolver = resolver };
	struct smtp_failure failure;
	struct err err = { 0 };

	d->started = d->connected = loop_now();
	d->count = d->undecided = d->job->envelope.recipient_count;
	d->recipient = arena_alloc(d->arena, (d->count + 1) * sizeof(*d->recipient));
	for (size_t i = 0; i < d->count; i++)
		d->recipient[i].recipient = &d->job->envelope.recipients[i];
	if (!content_open(&d->content, d->job, d->settings->line_limit, d->arena, &err)) {
		log_warning("%.*s: %s", SLICE_FMT(d->job->queue_id), err.text);
		smtp_fail(&failure, d->arena, "4.3.0", "mail system configuration or queue file error");
		smtp_decide_all(d, DELIVERY_DEFERRED, &failure);
		return a.outcome;
	}
	smtp_cache_note(cache, d->job->nexthop);
	use_kept(&a);
	if (d->undecided > 0 && !task_cancelled())
		use_all(&a);
	/* Our own shutdown says nothing of the destination; a permanent failure is each message's own. */
	a.outcome.dead = !a.talked && d->failed_session && !d->last.permanent && !task_cancelled();
	settle(&a);
	return a.outcome;
}
