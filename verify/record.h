/* SPDX-License-Identifier: ISC */
/* What is known of an address, its form in the cache, and how long it is good for. */
#ifndef POSTRIDER_VERIFY_RECORD_H
#define POSTRIDER_VERIFY_RECORD_H

#include "common/base/str.h"
#include "common/proto/verify_proto.h"

struct record {
	struct verify_result result;   /* never VERIFY_UNKNOWN */
	double updated;                /* wall clock: when the probe told it */
};

/* address_verify_positive_expire_time and kin, in seconds. */
struct record_rules {
	double positive_expire, positive_refresh, negative_expire, negative_refresh;
	bool keeps_negative;
};

/* "status updated dsn text" */
void record_format(const struct record *record, struct str *out);
/* False: not of that form. */
bool record_parse(struct slice text, struct record *record) MUST_USE;

enum record_use {
	RECORD_GONE,                   /* as if it were not there */
	RECORD_GOOD,
	RECORD_STALE                   /* still the answer, but it is time to ask again */
};
enum record_use record_judge(const struct record *record, const struct record_rules *rules, double now);
/* Is `news` to be kept in place of what is known (NULL: nothing)?  A failure does not take the place of a success that is good. */
bool record_replaces(const struct record *news, const struct record *known, const struct record_rules *rules);

#endif
