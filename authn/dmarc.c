/* SPDX-License-Identifier: ISC */
#include "authn/dmarc.h"

#define WALK_MAX 8 /* questions of a tree walk */

struct found {
	bool temporary, several;
	bool has_record;
	struct slice domain;
	struct dmarc_record record;
};

struct check {
	const struct dmarc_input *in;
	struct arena *arena;
	bool walks;
};

/* --- records --- */

static void ask_record(struct check *c, struct slice domain, struct found *found)
{
	struct slice name = slice_of(arena_printf(c->arena, "_dmarc.%.*s", SLICE_FMT(domain)));
	struct dns_answer answer;
	struct dmarc_record record;
	size_t count = 0;

	*found = (struct found){.domain = domain};
	authn_query(c->in->dns, name, DNS_TXT, c->arena, &answer);
	found->temporary = authn_dns_failed(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct slice text = answer.records[i].data;

		if (!slice_starts(text, SLICE("v=DMARC1")) ||
		    (text.len > 8 && !strchr("; \t", text.ptr[8])))
			continue;
		count++;
		if (dmarc_record_parse(text, &record)) {
			found->has_record = true;
			found->record = record;
		}
	}
	found->several = count > 1;
	found->has_record = found->has_record && count == 1;
}

static size_t count_labels(struct slice name)
{
	size_t labels = 1;

	for (size_t i = 0; i < name.len; i++)
		labels += name.ptr[i] == '.';
	return labels;
}

/* The name without labels at its front, so that `keep` are left. */
static struct slice last_labels(struct slice name, size_t keep)
{
	for (size_t labels = count_labels(name); labels > keep; labels--)
		name = slice_sub(name, (size_t)slice_find(name, '.') + 1, name.len);
	return name;
}

/*
 * The tree walk: up from the domain, eight questions at most.  *organisation is where it leads to;
 * *found the record there.
 */
static void walk(struct check *c, struct slice domain, struct slice *organisation,
		 struct found *found)
{
	size_t labels = count_labels(domain), keep = labels;
	struct found one;

	*organisation = domain;
	*found = (struct found){.domain = domain};
	for (int i = 0; i < WALK_MAX && keep > 0; i++) {
		struct slice name = last_labels(domain, keep);

		ask_record(c, name, &one);
		if (one.temporary) {
			found->temporary = true;
			return;
		}
		if (one.has_record && one.record.psd == DMARC_PSD_YES && keep < labels) {
			*organisation = last_labels(domain, keep + 1);
			if (!found->has_record)
				*found = one;
			return;
		}
		if (one.has_record) {
			*found = one;
			*organisation = name;
			if (one.record.psd != DMARC_PSD_UNKNOWN)
				return;
		}
		keep = i == 0 && labels > WALK_MAX ? WALK_MAX - 1 : keep - 1;
	}
}

static bool organisation_of(struct check *c, struct slice domain, struct slice *organisation)
{
	struct found found;

	if (!c->walks) {
		*organisation = dmarc_organisation(c->in->suffixes, domain, c->arena);
		return true;
	}
	walk(c, domain, organisation, &found);
	return !found.temporary;
}

/* The record that holds for a From domain. */
static void discover(struct check *c, struct slice domain, struct found *found)
{
	struct slice organisation;

	ask_record(c, domain, found);
	c->walks =
	    c->in->tree_walk || (found->has_record && found->record.psd != DMARC_PSD_UNKNOWN);
	if (found->has_record || found->temporary || found->several)
		return;
	if (c->in->tree_walk) {
		walk(c, domain, &organisation, found);
		return;
	}
	organisation = dmarc_organisation(c->in->suffixes, domain, c->arena);
	if (!slice_eq(organisation, domain))
		ask_record(c, organisation, found);
	/* A public suffix may speak for what lies below it (RFC 9091). */
	if (!found->has_record && !found->temporary && !found->several &&
	    count_labels(organisation) > 1) {
		struct slice parent = last_labels(organisation, count_labels(organisation) - 1);
		struct found above;

		ask_record(c, parent, &above);
		if (above.has_record && above.record.psd == DMARC_PSD_YES)
			*found = above;
	}
}

/* --- alignment --- */

enum alignment { NOT_ALIGNED, ALIGNED, ALIGNMENT_UNKNOWN };

static enum alignment aligned(struct check *c, struct slice from, struct slice domain, bool strict)
{
	struct slice a, b;

	domain = authn_domain(c->arena, domain);
	if (slice_eq(from, domain))
		return ALIGNED;
	if (strict || domain.len == 0)
		return NOT_ALIGNED;
	if (!organisation_of(c, from, &a) || !organisation_of(c, domain, &b))
		return ALIGNMENT_UNKNOWN;
	return slice_eq(a, b) ? ALIGNED : NOT_ALIGNED;
}

/* True when something might have passed, had DNS answered. */
static bool check_alignment(struct check *c, struct slice from, const struct dmarc_record *record,
			    struct dmarc_answer *a)
{
	const struct dmarc_input *in = c->in;
	bool unknown = false;

	if (in->spf == SPF_PASS || in->spf == SPF_TEMPERROR) {
		enum alignment al = aligned(c, from, in->spf_domain, record->strict_spf);

		a->spf_aligned = al == ALIGNED && in->spf == SPF_PASS;
		unknown = al == ALIGNMENT_UNKNOWN || (al == ALIGNED && in->spf == SPF_TEMPERROR);
	}
	for (size_t i = 0; in->dkim && i < in->dkim->count && !a->dkim_aligned; i++) {
		const struct dkim_signature *d = &in->dkim->signature[i];
		enum alignment al;

		if (d->result != DKIM_PASS && d->result != DKIM_TEMPERROR)
			continue;
		al = aligned(c, from, d->s.domain, record->strict_dkim);
		a->dkim_aligned = al == ALIGNED && d->result == DKIM_PASS;
		a->aligned_signature = i;
		unknown = unknown || al == ALIGNMENT_UNKNOWN ||
			  (al == ALIGNED && d->result == DKIM_TEMPERROR);
	}
	return unknown;
}

/* --- the verdict --- */

/* Has the name no records by which mail could come from or go to it? */
static bool does_not_exist(struct check *c, struct slice domain)
{
	static const enum dns_type types[] = {DNS_MX, DNS_A, DNS_AAAA};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct dns_answer answer;

		authn_query(c->in->dns, domain, types[i], c->arena, &answer);
		if (answer.count > 0 || authn_dns_failed(&answer))
			return false;
	}
	return true;
}

static enum dmarc_policy policy_for(struct check *c, struct slice domain, const struct found *found)
{
	const struct dmarc_record *r = &found->record;

	if (!r->has_p)
		return DMARC_POLICY_NONE;
	if (slice_eq(domain, found->domain))
		return r->p;
	return r->np != r->sp && does_not_exist(c, domain) ? r->np : r->sp;
}

static void set_disposition(const struct dmarc_input *in, struct dmarc_answer *a)
{
	a->disposition = a->policy;
	a->sampled_out =
	    a->policy != DMARC_POLICY_NONE && (a->record.testing || in->sample >= a->record.pct);
	if (a->sampled_out)
		a->disposition =
		    a->policy == DMARC_POLICY_REJECT ? DMARC_POLICY_QUARANTINE : DMARC_POLICY_NONE;
}

static const char *failure_reason(struct check *c, const struct dmarc_input *in,
				  struct slice domain)
{
	bool dkim_passed = false;

	for (size_t i = 0; in->dkim && i < in->dkim->count; i++)
		dkim_passed = dkim_passed || in->dkim->signature[i].result == DKIM_PASS;
	if (in->spf != SPF_PASS && !dkim_passed)
		return "neither SPF nor DKIM has passed";
	return arena_printf(c->arena, "%s passed for %s, not for %.*s",
			    in->spf == SPF_PASS && dkim_passed ? "SPF and DKIM"
			    : dkim_passed                      ? "DKIM"
							       : "SPF",
			    in->spf == SPF_PASS && !dkim_passed
				? arena_cstr(c->arena, in->spf_domain)
				: "another domain",
			    SLICE_FMT(domain));
}

static void check_domain(struct check *c, struct slice domain, struct dmarc_answer *a)
{
	struct found found;
	bool unknown;

	*a = (struct dmarc_answer){.domain = domain};
	discover(c, domain, &found);
	if (found.temporary) {
		a->result = DMARC_TEMPERROR;
		a->reason = "no answer now for the DMARC record";
		return;
	}
	if (!found.has_record) {
		a->reason = found.several ? "the domain has several DMARC records"
					  : "the domain has no DMARC record";
		return;
	}
	a->record = found.record;
	a->record_domain = found.domain;
	unknown = check_alignment(c, domain, &found.record, a);
	a->policy = policy_for(c, domain, &found);
	if (a->spf_aligned || a->dkim_aligned) {
		a->result = DMARC_PASS;
		a->reason = a->spf_aligned && a->dkim_aligned ? "SPF and DKIM"
			    : a->spf_aligned                  ? "SPF"
							      : "DKIM";
	} else if (unknown) {
		a->result = DMARC_TEMPERROR;
		a->reason = "no answer now for what SPF or DKIM would have needed";
	} else {
		a->result = DMARC_FAIL;
		a->reason = failure_reason(c, c->in, domain);
		set_disposition(c->in, a);
	}
}

/* How grave: of several From domains the gravest counts. */
static int gravity(const struct dmarc_answer *a)
{
	switch (a->result) {
	case DMARC_FAIL:
		return 10 + (int)a->disposition;
	case DMARC_TEMPERROR:
	case DMARC_PERMERROR:
		return 9;
	case DMARC_NONE:
		return 5;
	case DMARC_PASS:
		break;
	}
	return 0;
}

void dmarc_check(const struct dmarc_input *in, struct arena *arena, struct dmarc_answer *answer)
{
	struct check c = {.in = in, .arena = arena};
	struct dmarc_answer one;

	*answer = (struct dmarc_answer){.result = DMARC_PERMERROR, .reason = in->author->fault};
	if (in->author->fault)
		return;
	for (size_t i = 0; i < in->author->count; i++) {
		check_domain(&c, in->author->domain[i], &one);
		if (i == 0 || gravity(&one) > gravity(answer))
			*answer = one;
	}
}
