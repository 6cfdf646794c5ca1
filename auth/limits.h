/* SPDX-License-Identifier: ISC */
/*
 * How much each login has sent (smtpd_sasl_message_rate_limit, smtpd_sasl_recipient_rate_limit).
 * The counts are of all smtpd processes, as there is one auth; they lie in a small file in
 * data_directory that is mapped into memory, so that they outlive a process and a restart:
 * whoever has a stolen password gains nothing from them.
 */
#ifndef POSTRIDER_AUTH_LIMITS_H
#define POSTRIDER_AUTH_LIMITS_H

#include "common/proto/auth_proto.h"

struct limits;

/* What holds for a login; 0: no limit. */
struct limits_rule {
	uint64_t messages, recipients;
	double unit;                       /* seconds that a count runs */
};

/* Opens or makes the file; one of another size or form begins anew. */
struct limits *limits_open(const char *path, struct err *err) MUST_USE;
void limits_close(struct limits **limits);
/*
 * Counts, unless that would go over the rule.  *first: over it for the first time since a whole unit
 * went by below it: the postmaster is told once.  Names that differ in case are one login.
 */
void limits_count(struct limits *limits, const struct auth_counting *counting, const struct limits_rule *rule, double now,
		  struct auth_verdict *verdict, bool *first);

#endif
