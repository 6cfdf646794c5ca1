/* SPDX-License-Identifier: ISC */
/* Taking SPF records and their macros apart: no DNS in here. */
#ifndef POSTRIDER_AUTHN_SPF_RECORD_H
#define POSTRIDER_AUTHN_SPF_RECORD_H

#include "authn/spf.h"
#include "common/base/str.h"

enum spf_mechanism { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };

struct spf_term {
	enum spf_mechanism mechanism;
	enum spf_result result;    /* of its qualifier, when it matches */
	struct slice text;         /* all of it */
	struct slice domain;       /* domain-spec; empty: the current domain */
	unsigned prefix4, prefix6; /* bits */
	uint8_t network[16];       /* ip4, ip6 */
};

struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct slice redirect, exp; /* domain-specs; empty: none */
};

/* Is it "v=spf1", alone or before a space? */
bool spf_is_record(struct slice text);
/* The whole record, checked to its end.  False with ERR_SYNTAX that names the term. */
bool spf_record_parse(struct slice text, struct arena *arena, struct spf_record *record,
		      struct err *err) MUST_USE;

/* What macros stand for. */
struct spf_names {
	bool v6;
	uint8_t address[16]; /* 4 bytes of IPv4 */
	struct slice sender, local, sender_domain, domain, helo, receiver;
	uint64_t when;
	/* %{p}: asks DNS; called only when it is needed. */
	struct slice (*validated)(void *context);
	void *context;
};

enum spf_macro_kind { SPF_MACRO_DOMAIN, SPF_MACRO_LIMB, SPF_MACRO_EXPLANATION };
/* Syntax alone.  LIMB: of modifiers that nobody knows; a domain must end in a name or a macro. */
bool spf_macro_valid(struct slice text, enum spf_macro_kind kind);
/* Appends at most SPF_EXPANSION_MAX bytes.  False: malformed, or too long. */
#define SPF_EXPANSION_MAX 8192
bool spf_macro_expand(struct slice text, enum spf_macro_kind kind, const struct spf_names *names,
		      struct str *out) MUST_USE;

#endif
