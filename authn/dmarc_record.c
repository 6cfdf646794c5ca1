/* SPDX-License-Identifier: ISC */
/* Records and the public suffix list: no DNS in here. */
#include <libpsl.h>
#include <stdlib.h>

#include "authn/dmarc.h"
#include "common/base/str.h"

const char *dmarc_result_text(enum dmarc_result result)
{
	static const char *const texts[] = {"none", "pass", "fail", "temperror", "permerror"};

	return texts[result];
}

const char *dmarc_policy_text(enum dmarc_policy policy)
{
	static const char *const texts[] = {"none", "quarantine", "reject"};

	return texts[policy];
}

static bool read_policy(struct slice value, enum dmarc_policy *policy)
{
	for (enum dmarc_policy p = DMARC_POLICY_NONE; p <= DMARC_POLICY_REJECT; p++)
		if (slice_eq_nocase(value, slice_of(dmarc_policy_text(p)))) {
			*policy = p;
			return true;
		}
	return false;
}

struct reading {
	struct dmarc_record *record;
	bool has_sp, has_np;
};

/* Values that make no sense count as not given (§6.3). */
static void take_tag(struct reading *r, struct slice name, struct slice value)
{
	struct dmarc_record *d = r->record;
	uint64_t number;

	if (slice_eq(name, SLICE("p"))) {
		d->has_p = d->has_p || read_policy(value, &d->p);
	} else if (slice_eq(name, SLICE("sp"))) {
		r->has_sp = r->has_sp || read_policy(value, &d->sp);
	} else if (slice_eq(name, SLICE("np"))) {
		r->has_np = r->has_np || read_policy(value, &d->np);
	} else if (slice_eq(name, SLICE("adkim"))) {
		d->strict_dkim = slice_eq_nocase(value, SLICE("s"));
	} else if (slice_eq(name, SLICE("aspf"))) {
		d->strict_spf = slice_eq_nocase(value, SLICE("s"));
	} else if (slice_eq(name, SLICE("pct"))) {
		if (slice_to_u64(value, &number) && number <= 100)
			d->pct = (unsigned)number;
	} else if (slice_eq(name, SLICE("t"))) {
		d->testing = slice_eq_nocase(value, SLICE("y"));
	} else if (slice_eq(name, SLICE("psd"))) {
		d->psd = slice_eq_nocase(value, SLICE("y"))   ? DMARC_PSD_YES
			 : slice_eq_nocase(value, SLICE("n")) ? DMARC_PSD_NO
							      : DMARC_PSD_UNKNOWN;
	} else if (slice_eq(name, SLICE("rua"))) {
		d->rua = value;
	} else if (slice_eq(name, SLICE("ruf"))) {
		d->ruf = value;
	} else if (slice_eq(name, SLICE("fo"))) {
		d->fo = value;
	}
}

bool dmarc_record_parse(struct slice text, struct dmarc_record *record)
{
	struct reading r = {.record = record};
	struct slice rest = text, piece, name;
	bool more = true, first = true;

	*record = (struct dmarc_record){.text = text, .pct = 100};
	for (int count = 0; more && count < 64; count++, first = false) {
		more = slice_cut(&rest, ';', &piece);
		bool is_tag = slice_cut(&piece, '=', &name);

		if (first && (!is_tag || !slice_eq(slice_trim(name), SLICE("v")) ||
			      !slice_eq(slice_trim(piece), SLICE("DMARC1")) || name.len == 0 ||
			      name.ptr[0] != 'v'))
			return false;
		if (is_tag && !first)
			take_tag(&r, slice_trim(name), slice_trim(piece));
	}
	if (!r.has_sp)
		record->sp = record->p;
	if (!r.has_np)
		record->np = record->sp;
	/* Without a policy the record serves for reports alone. */
	return record->has_p || slice_starts_nocase(record->rua, SLICE("mailto:"));
}

/* --- the public suffix list --- */

struct dmarc_suffixes {
	psl_ctx_t *list;
};

struct dmarc_suffixes *dmarc_suffixes_open(void)
{
	psl_ctx_t *list = psl_latest(NULL);
	struct dmarc_suffixes *s;

	if (!list)
		return NULL;
	s = mem_alloc(sizeof(*s));
	s->list = list;
	return s;
}

void dmarc_suffixes_close(struct dmarc_suffixes **suffixes)
{
	if (!*suffixes)
		return;
	psl_free((*suffixes)->list);
	free(*suffixes);
	*suffixes = NULL;
}

struct slice dmarc_organisation(const struct dmarc_suffixes *suffixes, struct slice domain,
				struct arena *arena)
{
	const char *name = arena_cstr(arena, domain);
	const char *found = suffixes && strlen(name) == domain.len
				? psl_registrable_domain(suffixes->list, name)
				: NULL;

	return found ? slice_of(found) : domain;
}
