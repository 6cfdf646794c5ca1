/* SPDX-License-Identifier: ISC */
/*
 * Authentication-Results (RFC 8601): saying what was found, knowing those that claim to be ours,
 * and reading what a trusted sealer of ARC has said.
 */
#ifndef POSTRIDER_AUTHN_RESULTS_H
#define POSTRIDER_AUTHN_RESULTS_H

#include "authn/arc.h"
#include "authn/dmarc.h"

struct results {
	const char *authserv_id;
	struct slice address, helo, sender; /* of the client, as SPF has them */
	const struct spf_answer *spf;       /* each NULL: not checked */
	const struct dkim_message *dkim;
	const struct arc_answer *arc;
	const struct dmarc_answer *dmarc;
	const char *dmarc_override; /* why a failure has no effect; NULL: it has */
};

/* Appends "authserv-id;\r\n\tspf=pass …;\r\n\t…" without a CRLF at the end: for ARC, and for the
 * field. */
void results_text(const struct results *results, struct str *out);
/* Appends the whole field with CRLF. */
void results_field(const struct results *results, struct str *out);
/* Appends "Received-SPF: …" with CRLF. */
void results_received_spf(const struct results *results, struct str *out);

/*
 * Does this field speak in our name?  Authentication-Results fields whose first part has our
 * authserv-id, however it is written, and those that cannot be read.
 */
bool results_claims(const struct header_field *field, const char *authserv_id);
/* Does the text (after the authserv-id) say method=result, with property=value? */
bool results_say(struct slice text, const char *method, const char *result, const char *property,
		 struct slice value);

/* One line for the log: "spf=pass (…) dkim=…". */
void results_log(const struct results *results, struct str *out);

#endif
