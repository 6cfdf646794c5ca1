/* SPDX-License-Identifier: ISC */
/*
 * SPF (RFC 7208): may this client send mail in the name of this domain?  A library: no process, no
 * globals.
 */
#ifndef POSTRIDER_AUTHN_SPF_H
#define POSTRIDER_AUTHN_SPF_H

#include "authn/dns.h"

#define SPF_LOOKUPS_MAX 10 /* terms that ask DNS, in all records together (§4.6.4) */
#define SPF_VOIDS_MAX   2  /* of their questions that found nothing */

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR
};

struct spf_request {
	struct slice address; /* of the client: "192.0.2.1", "2001:db8::1" */
	struct slice helo;
	struct slice sender;   /* MAIL FROM; empty: the null sender, the HELO name is checked */
	struct slice receiver; /* our host name, for explanations */
	const struct authn_dns *dns;
};

/* What was done, in order: for people. */
struct spf_step {
	struct spf_step *next;
	unsigned depth;      /* of include and redirect */
	unsigned lookups;    /* counted so far */
	struct slice domain; /* whose record it is */
	struct slice term;   /* empty: the record itself */
	struct slice text;   /* "matches", the record, what is wrong */
};

struct spf_answer {
	enum spf_result result;
	struct slice domain;      /* that was checked */
	struct slice mechanism;   /* the term that matched, or "default" */
	struct slice record;      /* of the domain; empty: none */
	struct slice explanation; /* of a fail: the domain's own text, or ours */
	bool own_explanation;     /* the domain's own */
	struct slice reason;      /* in a few words: why this result */
	unsigned lookups, voids;
	struct spf_step *steps;
};

/* May suspend the task.  Memory is the arena's. */
void spf_check(const struct spf_request *request, struct arena *arena, struct spf_answer *answer);
const char *spf_result_text(enum spf_result result);

#endif
