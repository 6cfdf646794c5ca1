/* SPDX-License-Identifier: ISC */
/* All of it for one message: SPF, DKIM, ARC, DMARC, and what a trusted ARC chain changes. */
#ifndef POSTRIDER_AUTHN_VERIFY_H
#define POSTRIDER_AUTHN_VERIFY_H

#include "authn/results.h"

struct verify_settings {
	const char *authserv_id;
	size_t signature_limit; /* dkim_verify_limit */
	const struct dmarc_suffixes *suffixes;
	bool tree_walk;
	struct slice trusted_sealers; /* arc_trusted_sealers: domains */
	bool spf, dkim, dmarc;        /* what is to be checked at all (DMARC needs both others) */
};

struct verify_request {
	const struct verify_settings *settings;
	const struct authn_dns *dns;
	struct slice address, helo, sender;
	struct slice header; /* to the empty line, which may be in it; CRLF lines */
	/* The body, a piece a call: 1, 0 at its end, -1 when it cannot be read. */
	int (*read_body)(void *context, struct slice *piece);
	void *context;
	uint64_t now;
	unsigned sample; /* 0 to 99, for pct= */
	bool will_seal;  /* arc_seal comes after */
};

struct verify_answer {
	struct results results; /* points to what follows */
	struct spf_answer spf;
	struct canon_header header;
	struct canon_bodies *bodies;
	struct dkim_message dkim;
	struct arc_message arc;
	struct author author;
	struct dmarc_answer dmarc;
	int seal_body; /* in `bodies`, relaxed and whole: for arc_seal; -1: none */
};

/* May suspend the task.  False: the body cannot be read.  Memory is the arena's, till verify_free.
 */
bool verify_message(const struct verify_request *request, struct arena *arena,
		    struct verify_answer *answer) MUST_USE;
void verify_free(struct verify_answer *answer);

#endif
