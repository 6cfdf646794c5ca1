/* SPDX-License-Identifier: ISC */
/* What is known of sessions with each domain since the period began; the report in JSON (RFC 8460, section 4). */
#ifndef POSTRIDER_TLSRPT_TALLY_H
#define POSTRIDER_TLSRPT_TALLY_H

#include "common/base/str.h"
#include "common/proto/tlsrpt_proto.h"

struct tally;
/* Begins at `now`, or goes on with what `saved` has (empty, damaged: nothing). */
struct tally *tally_create(struct slice saved, double now);
void tally_free(struct tally **tally);
double tally_start(const struct tally *tally);
void tally_add(struct tally *tally, const struct tlsrpt_event *event);
/* Appends the form that tally_create reads. */
void tally_save(const struct tally *tally, struct str *out);

/* Domains, one after the other: *name is one's, valid until it is removed.  False: there is none. */
bool tally_first(struct tally *tally, const char **name);
void tally_remove(struct tally *tally, const char *name);

struct tally_reporter {
	const char *organization, *contact, *id;
	double end;
};
void tally_report(const struct tally *tally, const char *name, const struct tally_reporter *reporter, struct str *out);

#endif
