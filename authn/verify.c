/* SPDX-License-Identifier: ISC */
#include "authn/verify.h"

static bool is_listed(struct slice list, struct slice domain)
{
	struct slice word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq_nocase(word, domain))
			return true;
	return false;
}

/*
 * Somebody in the chain saw DMARC pass for this author, and all from there on, up to us, are
 * trusted: the failure that we see was made on the way.
 */
static const char *arc_override(const struct verify_request *r, const struct verify_answer *a,
				struct arena *arena)
{
	const struct arc_answer *arc = &a->arc.answer;

	if (a->dmarc.result != DMARC_FAIL || arc->result != ARC_PASS)
		return NULL;
	for (size_t i = arc->count; i > 0; i--) {
		const struct arc_set *set = &arc->set[i - 1];

		if (!is_listed(r->settings->trusted_sealers, set->seal.domain) ||
		    !slice_eq(set->seal.domain, set->message.domain))
			return NULL;
		if (results_say(set->results_text, "dmarc", "pass", "header.from", a->dmarc.domain))
			return arena_printf(arena, "trusted ARC seal %zu of %.*s", i,
					    SLICE_FMT(set->seal.domain));
	}
	return NULL;
}

static bool feed_body(const struct verify_request *r, struct canon_bodies *bodies)
{
	struct slice piece;
	int more;

	while ((more = r->read_body(r->context, &piece)) > 0)
		canon_bodies_feed(bodies, piece);
	return more == 0;
}

static void check_spf(const struct verify_request *r, struct arena *arena, struct verify_answer *a)
{
	struct spf_request request = {.address = r->address,
				      .helo = r->helo,
				      .sender = r->sender,
				      .receiver = slice_of(r->settings->authserv_id),
				      .dns = r->dns};

	spf_check(&request, arena, &a->spf);
	a->results.spf = &a->spf;
}

static void check_dmarc(const struct verify_request *r, struct arena *arena,
			struct verify_answer *a)
{
	struct dmarc_input in = {.author = &a->author,
				 .spf = a->spf.result,
				 .spf_domain = a->spf.domain,
				 .dkim = &a->dkim,
				 .dns = r->dns,
				 .suffixes = r->settings->suffixes,
				 .tree_walk = r->settings->tree_walk,
				 .sample = r->sample};

	author_read(&a->header, arena, &a->author);
	dmarc_check(&in, arena, &a->dmarc);
	a->results.dmarc = &a->dmarc;
	a->results.dmarc_override = arc_override(r, a, arena);
}

bool verify_message(const struct verify_request *r, struct arena *arena, struct verify_answer *a)
{
	const struct verify_settings *s = r->settings;
	bool whole = true;

	*a = (struct verify_answer){.seal_body = -1,
				    .results = {.authserv_id = s->authserv_id,
						.address = r->address,
						.helo = r->helo,
						.sender = r->sender}};
	canon_header_read(r->header, arena, &a->header);
	if (s->spf || s->dmarc)
		check_spf(r, arena, a);
	if (s->dkim || s->dmarc) {
		a->bodies = canon_bodies_create();
		dkim_prepare(&a->dkim, &a->header, a->bodies, s->signature_limit, arena);
		arc_prepare(&a->arc, &a->header, a->bodies, arena);
		if (r->will_seal)
			a->seal_body = canon_bodies_want(a->bodies, CANON_RELAXED, UINT64_MAX);
		whole = feed_body(r, a->bodies);
		canon_bodies_finish(a->bodies);
		dkim_finish(&a->dkim, r->dns, r->now);
		arc_finish(&a->arc, r->dns);
		a->results.dkim = &a->dkim;
		a->results.arc = &a->arc.answer;
	}
	if (s->dmarc)
		check_dmarc(r, arena, a);
	return whole;
}

void verify_free(struct verify_answer *answer)
{
	canon_bodies_free(&answer->bodies);
}
