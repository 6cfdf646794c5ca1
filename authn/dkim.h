/* SPDX-License-Identifier: ISC */
/*
 * DKIM (RFC 6376, 8301, 8463).  Verifying: prepare with the header, feed the body to the shared
 * canon_bodies, then finish.  Signing the same way round.
 */
#ifndef POSTRIDER_AUTHN_DKIM_H
#define POSTRIDER_AUTHN_DKIM_H

#include "authn/signature.h"

#define DKIM_LIMIT_MAX 100

/* Result words of RFC 8601 §2.7.1. */
enum dkim_result {
	DKIM_NONE,
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_POLICY,
	DKIM_NEUTRAL,
	DKIM_TEMPERROR,
	DKIM_PERMERROR
};
enum dkim_part { DKIM_PART_NONE, DKIM_PART_BODY, DKIM_PART_HEADER };

struct dkim_signature {
	struct signature s;
	size_t field; /* index in the header */
	bool parsed;
	enum dkim_result result;
	const char *reason;    /* in a few words; NULL with a plain pass */
	enum dkim_part failed; /* what is not as it was signed */
	int bits;              /* of the key; 0: not known */
	bool testing;          /* the domain says that it is only trying */
	bool partial;          /* l= leaves a part of the body open */
};

struct dkim_message {
	const struct canon_header *header;
	struct canon_bodies *bodies;
	struct arena *arena;
	struct dkim_signature *signature;
	size_t count;
	size_t left_out; /* signatures beyond the limit */
};

const char *dkim_result_text(enum dkim_result result);
/* Reads at most `limit` signatures and asks `bodies` for their hashes. */
void dkim_prepare(struct dkim_message *message, const struct canon_header *header,
		  struct canon_bodies *bodies, size_t limit, struct arena *arena);
/* After canon_bodies_finish.  `now`: seconds since the epoch.  May suspend the task. */
void dkim_finish(struct dkim_message *message, const struct authn_dns *dns, uint64_t now);

/*
 * Checks one signature of either kind by its key: what DKIM and ARC share.  *reason is set
 * unless it is DKIM_PASS.
 */
struct signature_check {
	enum dkim_result result;
	enum dkim_part failed;
	const char *reason;
	int bits;
	bool testing, partial;
};
void signature_check(const struct signature *s, struct slice header_bytes,
		     const struct canon_bodies *bodies, const struct authn_dns *dns,
		     struct arena *arena, struct signature_check *check);

#endif
