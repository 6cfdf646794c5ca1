/* SPDX-License-Identifier: ISC */
#include "verify/record.h"

#define TIME_MAX 100000000000u /* seconds: beyond any clock */

static bool is_good(const struct record *r)
{
	return r->result.status == VERIFY_OK;
}

void record_format(const struct record *r, struct str *out)
{
	str_printf(out, "%d %llu %s %s", (int)r->result.status, (unsigned long long)r->updated, r->result.dsn, r->result.text);
}

/* class "." subject "." detail, of the class that goes with the status. */
static bool fits(struct slice dsn, enum verify_status status)
{
	static const char classes[] = { [VERIFY_OK] = '2', [VERIFY_BAD] = '5', [VERIFY_TEMPORARY] = '4' };
	size_t dots = 0;

	for (size_t i = 0; i < dsn.len; i++) {
		dots += dsn.ptr[i] == '.';
		if (dsn.ptr[i] != '.' && (dsn.ptr[i] < '0' || dsn.ptr[i] > '9'))
			return false;
	}
	return dsn.len >= 5 && dsn.len <= 11 && dots == 2 && dsn.ptr[0] == classes[status] && dsn.ptr[1] == '.';
}

bool record_parse(struct slice text, struct record *record)
{
	struct slice status, updated, dsn;
	uint64_t number, when;

	if (!slice_cut(&text, ' ', &status) || !slice_cut(&text, ' ', &updated) || !slice_cut(&text, ' ', &dsn) ||
	    !slice_to_u64(status, &number) || number >= VERIFY_UNKNOWN || !slice_to_u64(updated, &when) || when > TIME_MAX ||
	    !fits(dsn, (enum verify_status)number))
		return false;
	verify_set(&record->result, (enum verify_status)number, dsn, text);
	record->updated = (double)when;
	return true;
}

enum record_use record_judge(const struct record *r, const struct record_rules *rules, double now)
{
	double age = now - r->updated;

	/* A clock that was set back makes what comes from the future new. */
	if (age >= (is_good(r) ? rules->positive_expire : rules->negative_expire))
		return RECORD_GONE;
	return age >= (is_good(r) ? rules->positive_refresh : rules->negative_refresh) ? RECORD_STALE : RECORD_GOOD;
}

bool record_replaces(const struct record *news, const struct record *known, const struct record_rules *rules)
{
	if (is_good(news))
		return true;
	if (known && is_good(known) && record_judge(known, rules, news->updated) != RECORD_GONE)
		return false;
	return rules->keeps_negative;
}
