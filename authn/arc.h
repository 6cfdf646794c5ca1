/* SPDX-License-Identifier: ISC */
/* ARC (RFC 8617): the chain of those who handed the message on, and adding to it. */
#ifndef POSTRIDER_AUTHN_ARC_H
#define POSTRIDER_AUTHN_ARC_H

#include "authn/dkim.h"
#include "authn/dkim_sign.h"

#define ARC_SETS_MAX 50

enum arc_result { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_TEMPERROR };

struct arc_set {
	const struct header_field *results; /* ARC-Authentication-Results */
	struct signature message, seal;
	bool has_message, has_seal;
	size_t message_field;
	struct slice results_text; /* behind "i=N;" */
};

struct arc_answer {
	enum arc_result result;
	const char *reason;  /* in a few words; NULL with none and pass */
	size_t count;        /* sets */
	size_t failed;       /* instance where it broke; 0: as a whole */
	struct arc_set *set; /* [0] is instance 1 */
	bool ended;          /* the last seal says cv=fail: nobody adds to it any more */
};

struct arc_message {
	const struct canon_header *header;
	struct canon_bodies *bodies;
	struct arena *arena;
	struct arc_answer answer;
};

const char *arc_result_text(enum arc_result result);
void arc_prepare(struct arc_message *message, const struct canon_header *header,
		 struct canon_bodies *bodies, struct arena *arena);
/* After canon_bodies_finish: message->answer.  May suspend the task. */
void arc_finish(struct arc_message *message, const struct authn_dns *dns);

/* --- sealing --- */

struct arc_seal {
	struct dkim_sign sign; /* its headers should have the DKIM-Signature, not the ARC fields */
	struct slice results;  /* the text of our Authentication-Results: "authserv-id; …" */
};
/*
 * Appends our set, whole fields with CRLF, to go in front of the header.  `chain` is finished,
 * `body` what dkim_sign_prepare gave.  False with ERR_LIMIT: the chain has ended, or has all the
 * sets that there may be.
 */
bool arc_seal(const struct arc_seal *seal, const struct arc_message *chain, int body,
	      struct str *fields, struct err *err) MUST_USE;

#endif
