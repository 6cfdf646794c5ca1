/* SPDX-License-Identifier: ISC */
/*
 * DMARC (RFC 7489): does what SPF and DKIM have shown belong to the From field's domain, and what
 * does that domain ask for when it does not?  With np= of RFC 9091, and psd=, t= and the tree walk
 * of its successor.
 */
#ifndef POSTRIDER_AUTHN_DMARC_H
#define POSTRIDER_AUTHN_DMARC_H

#include "authn/author.h"
#include "authn/dkim.h"
#include "authn/spf.h"

enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };
enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_NO, DMARC_PSD_YES };

struct dmarc_record {
	struct slice text;
	enum dmarc_policy p, sp, np;
	bool has_p;
	bool strict_dkim, strict_spf;
	unsigned pct;
	bool testing; /* t=y */
	enum dmarc_psd psd;
	struct slice rua, ruf, fo;
};

/* False: it is no DMARC record. */
bool dmarc_record_parse(struct slice text, struct dmarc_record *record) MUST_USE;

/* The public suffix list; NULL when there is none on this system. */
struct dmarc_suffixes;
struct dmarc_suffixes *dmarc_suffixes_open(void);
void dmarc_suffixes_close(struct dmarc_suffixes **suffixes);
/* The organisational domain by the list: a part of `domain`, which is in lower case. */
struct slice dmarc_organisation(const struct dmarc_suffixes *suffixes, struct slice domain,
				struct arena *arena);

struct dmarc_input {
	const struct author *author;
	enum spf_result spf;
	struct slice spf_domain; /* of MAIL FROM, or the HELO name */
	const struct dkim_message *dkim;
	const struct authn_dns *dns;
	const struct dmarc_suffixes *suffixes;
	bool tree_walk;  /* dmarc_org_domain = tree-walk */
	unsigned sample; /* 0 to 99: is this message one of pct= percent? */
};

struct dmarc_answer {
	enum dmarc_result result;
	struct slice domain;        /* of From */
	struct slice record_domain; /* where the record was found */
	struct dmarc_record record;
	enum dmarc_policy policy;       /* that the domain has for such mail */
	enum dmarc_policy disposition;  /* what it asks for with this message: none with a pass */
	bool spf_aligned, dkim_aligned; /* and passed */
	bool sampled_out;               /* pct= or t=: a milder one than `policy` */
	const char *reason;             /* in a few words */
	size_t aligned_signature;       /* index in dkim, with dkim_aligned */
};

/* May suspend the task.  Of several domains in From the one that asks for most counts. */
void dmarc_check(const struct dmarc_input *input, struct arena *arena, struct dmarc_answer *answer);
const char *dmarc_result_text(enum dmarc_result result);
const char *dmarc_policy_text(enum dmarc_policy policy);

#endif
