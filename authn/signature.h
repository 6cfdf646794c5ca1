/* SPDX-License-Identifier: ISC */
/* What DKIM-Signature, ARC-Message-Signature and ARC-Seal have in common: their tags. */
#ifndef POSTRIDER_AUTHN_SIGNATURE_H
#define POSTRIDER_AUTHN_SIGNATURE_H

#include "authn/canon.h"
#include "authn/dkim_key.h"

enum signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE, SIGNATURE_ARC_SEAL };

struct signature {
	enum signature_kind kind;
	struct slice whole; /* the field */
	struct slice b_raw; /* the value of b= in it */
	struct slice b, bh; /* decoded */
	enum dkim_algorithm algorithm;
	enum canon header_form, body_form;
	struct slice domain, selector; /* lower case */
	struct slice identity;         /* i= of DKIM, "@domain" when it is not given */
	struct slice headers;          /* h= */
	struct slice z;                /* z=: header fields as they were, or empty */
	struct slice cv;               /* ARC-Seal's */
	uint64_t instance;             /* i= of ARC */
	uint64_t length;               /* l=; UINT64_MAX: all */
	uint64_t time, expires;        /* 0: not given */
	int body;                      /* index in canon_bodies; -1: none */
};

/* False with ERR_SYNTAX: *signature has what is known so far (domain, selector). */
bool signature_parse(enum signature_kind kind, const struct header_field *field,
		     struct arena *arena, struct signature *signature, struct err *err) MUST_USE;
/*
 * What the signature covers of the header: fields of h= from the bottom up, and itself.
 * `self`: index of its field, which is never one of those covered.
 */
void signature_header_bytes(const struct signature *signature, const struct canon_header *header,
			    size_t self, struct str *out);
/* How many header fields h= covers of a name: the count in h=. */
size_t signature_covers(const struct signature *signature, const char *name);

#endif
