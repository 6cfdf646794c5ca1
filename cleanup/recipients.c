/* SPDX-License-Identifier: ISC */
#include "cleanup/recipients.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "routing/form.h"

#define RECIPIENTS_MAX 500000

/* The new list while it is made. */
struct collection {
	const struct recipients_settings *settings;
	struct rewrite rw;
	struct message_recipient *all;
	size_t count, room;
	uint32_t *table;            /* place + 1, by the hash of the address */
	size_t size;
	struct err err;
};

/* --- one more --- */

static bool same(const struct message_recipient *a, const struct message_recipient *b)
{
	return slice_eq_nocase(a->address, b->address) && slice_eq_nocase(a->original, b->original) &&
	       slice_eq_nocase(a->orcpt, b->orcpt) && a->notify == b->notify;
}

static void grow_table(struct collection *c)
{
	c->size = c->size ? c->size * 2 : 16;
	c->table = mem_realloc(c->table, c->size * sizeof(*c->table));
	memset(c->table, 0, c->size * sizeof(*c->table));
	for (size_t i = 0; i < c->count; i++) {
		size_t at = slice_hash_nocase(c->all[i].address) & (c->size - 1);

		while (c->table[at])
			at = (at + 1) & (c->size - 1);
		c->table[at] = (uint32_t)i + 1;
	}
}

/* Each pair of original and final address once. */
static bool add(struct collection *c, const struct message_recipient *r)
{
	if (c->count * 2 >= c->size)
		grow_table(c);
	size_t at = slice_hash_nocase(r->address) & (c->size - 1);

	while (c->table[at] && !same(&c->all[c->table[at] - 1], r))
		at = (at + 1) & (c->size - 1);
	if (c->table[at])
		return true;
	if (c->count == RECIPIENTS_MAX)
		return err_set(&c->err, ERR_LIMIT, "more than %d recipients", RECIPIENTS_MAX);
	if (c->count == c->room) {
		c->room = c->room ? c->room * 2 : 8;
		c->all = mem_realloc(c->all, c->room * sizeof(*c->all));
	}
	c->all[c->count++] = *r;
	c->table[at] = (uint32_t)c->count;
	return true;
}

/* Where one goes: its canonical form in *canonical, and all that it stands for added. */
static bool take(struct collection *c, struct message_recipient r, struct slice *canonical)
{
	struct rewrite_input input = { REWRITE_ENVELOPE_RECIPIENT, r.address, false };
	struct rewrite_list members = { 0 };
	struct slice given = r.original.len > 0 ? r.original : r.address;
	ptrdiff_t at = slice_rfind(r.address, '@');

	input.literal = form_is_text(at < 0 ? r.address : slice_sub(r.address, 0, (size_t)at));
	if (!rewrite_address(&c->rw, &input, canonical, &c->err) ||
	    !rewrite_aliases(&c->rw, *canonical, &members, &c->err))
		return false;
	for (size_t i = 0; i < members.count; i++) {
		r.address = members.address[i];
		r.original = c->settings->keep_original && !slice_eq(given, r.address) ? given : SLICE_NONE;
		if (!add(c, &r))
			return false;
	}
	return true;
}

/* --- copies --- */

static bool take_copies(struct collection *c, const struct rewrite_list *copies)
{
	struct slice canonical;

	for (size_t i = 0; i < copies->count; i++)
		if (!take(c, (struct message_recipient){ .address = copies->address[i], .notify = NOTIFY_NEVER,
							 .status = RECIPIENT_PENDING }, &canonical))
			return false;
	return true;
}

static bool take_all(struct collection *c, struct message_envelope *e)
{
	/* Of new mail only: what we forward or report would go round for ever. */
	bool copied = !c->rw.form_only && (e->origin == ORIGIN_SMTP || e->origin == ORIGIN_LOCAL);
	struct rewrite_list copies = { 0 };
	ptrdiff_t at = slice_rfind(e->sender, '@');
	struct rewrite_input sender = { REWRITE_ENVELOPE_SENDER, e->sender, false };

	sender.literal = form_is_text(at < 0 ? e->sender : slice_sub(e->sender, 0, (size_t)at));
	if (e->sender.len > 0 && !rewrite_address(&c->rw, &sender, &e->sender, &c->err))
		return false;
	if (copied && !rewrite_sender_bcc(&c->rw, e->sender, &copies, &c->err))
		return false;
	for (size_t i = 0; i < e->recipient_count; i++) {
		struct slice canonical;

		if (!take(c, e->recipients[i], &canonical))
			return false;
		if (copied && !rewrite_recipient_bcc(&c->rw, canonical, &copies, &c->err))
			return false;
	}
	if (copied && c->settings->always_bcc[0])
		rewrite_crunch(&c->rw, &(struct rewrite_result){ .value = slice_of(c->settings->always_bcc) }, &copies);
	return take_copies(c, &copies);
}

/* REDIRECT: nobody else gets it, and nobody is told. */
static bool take_redirect(struct collection *c, const struct message_envelope *e)
{
	struct message_recipient r = { .notify = NOTIFY_NEVER, .status = RECIPIENT_PENDING };
	struct rewrite_list to = { 0 };

	rewrite_crunch(&c->rw, &(struct rewrite_result){ .value = e->redirect }, &to);
	if (to.count == 0)
		return err_set(&c->err, ERR_SYNTAX, "no address to redirect to in \"%.*s\"", SLICE_FMT(e->redirect));
	for (size_t i = 0; i < to.count; i++) {
		r.address = to.address[i];
		if (!add(c, &r))
			return false;
	}
	return true;
}

bool recipients_rewrite(const struct recipients_settings *settings, const char *queue_id, struct arena *arena,
			struct message_envelope *e, struct cleanup_refusal *refusal)
{
	struct collection c = { .settings = settings,
				.rw = { .rewriter = settings->rewriter, .arena = arena,
					.form_only = settings->form_only || e->no_address_mappings } };
	bool ok = take_all(&c, e);

	if (ok && e->redirect.len > 0) {
		c.count = c.size = 0;
		ok = take_redirect(&c, e);
	}
	if (ok) {
		e->recipients = arena_alloc(arena, c.count * sizeof(*e->recipients));
		memcpy(e->recipients, c.all, c.count * sizeof(*e->recipients));
		e->recipient_count = c.count;
	} else if (c.err.code == ERR_LIMIT) {
		cleanup_refuse(refusal, 451, "4.6.0", "%s", c.err.text);
	} else {
		log_warning("%s: %s -- message not accepted, try again later", queue_id, c.err.text);
		cleanup_refuse(refusal, 451, "4.3.0", "Temporary lookup failure");
	}
	free(c.table);
	free(c.all);
	return ok;
}
