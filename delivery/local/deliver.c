/* SPDX-License-Identifier: ISC */
#include <stdarg.h>

#include "common/base/str.h"
#include "delivery/local/local.h"

/* The worst of all decides: later trouble must not hide behind an earlier success. */
void local_merge(struct local_delivery *d, const struct outcome *o)
{
	static const int rank[] = { [0] = 0, [DELIVERY_SENT] = 1, [DELIVERY_BOUNCED] = 2, [DELIVERY_DEFERRED] = 3 };

	if (rank[o->outcome] > rank[d->worst.outcome])
		d->worst = *o;
}

void local_conclude(struct local_delivery *d, const struct local_scope *scope, const struct outcome *o)
{
	const struct message_recipient *r = d->recipient;

	agent_log(d->job, scope->address, r->original.len ? r->original : r->address, o, d->started);
	local_merge(d, o);
}

void local_fail(struct local_delivery *d, const struct local_scope *scope, const char *dsn, const char *format, ...)
{
	struct str text = { 0 };
	struct outcome o;
	va_list ap;

	va_start(ap, format);
	str_vprintf(&text, format, ap);
	va_end(ap);
	outcome_set_dsn(&o, dsn, "%s", str_cstr(&text));
	local_conclude(d, scope, &o);
	str_free(&text);
}

bool local_first_time(struct local_delivery *d, const char *kind, struct slice text)
{
	struct slice key = slice_of(arena_printf(d->arena, "%s %.*s", kind, SLICE_FMT(text)));

	for (size_t i = 0; i < d->seen_count; i++)
		if (slice_eq_nocase(d->seen[i], key))
			return false;
	if (d->seen_count < d->settings->duplicate_limit) {
		d->seen = mem_realloc(d->seen, (d->seen_count + 1) * sizeof(*d->seen));
		d->seen[d->seen_count++] = key;
	}
	return true;
}

void local_deliver(struct local_delivery *d)
{
	const struct local_scope top = { .sender = d->job->job.envelope.sender, .place = PLACE_ALIAS,
					 .rights = { .name = d->settings->default_privs } };
	struct local_scope scope = local_scope_below(d, &top, d->recipient->address);

	bool forwarded;

	scope.parent = NULL;
	if (content_was_delivered_to(&d->job->content, d->recipient->address)) {
		local_fail(d, &scope, "5.4.6", "mail forwarding loop for %.*s", SLICE_FMT(d->recipient->address));
		return;
	}
	local_expand(d, &scope);
	/* RFC 3461 section 5.2.7: one other address inherits the sender's wishes; of several we tell him. */
	d->expanded = d->forward && (d->forward->next || d->worst.outcome);
	forwarded = d->forward != NULL;
	local_send_forwards(d, &scope);
	if (forwarded)
		d->worst.action = d->expanded ? ACTION_EXPANDED : ACTION_PASSED;
	if (!d->worst.outcome) {
		local_fail(d, &scope, "2.0.0", "expanded to nobody: discarded");
	}
}
