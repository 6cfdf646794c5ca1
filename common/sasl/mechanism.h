/* SPDX-License-Identifier: ISC */
/* SASL mechanisms by name, what speaks against each, and Postfix's *_sasl_*_security_options. */
#ifndef POSTRIDER_COMMON_SASL_MECHANISM_H
#define POSTRIDER_COMMON_SASL_MECHANISM_H

#include "common/base/err.h"
#include "common/base/slice.h"

#define SASL_NAME_MAX     20      /* RFC 4422 §3.1 */
#define SASL_LOGIN_MAX    512     /* bytes of a user's name */
#define SASL_PASSWORD_MAX 1024

enum sasl_property {
	SASL_PLAINTEXT = 1,       /* shows the password to who listens */
	SASL_ACTIVE = 2,          /* open to active attacks */
	SASL_DICTIONARY = 4,      /* open to passive dictionary attacks */
	SASL_ANONYMOUS = 8,
	SASL_FORWARD_SECRECY = 16,
	SASL_MUTUAL_AUTH = 32,
	SASL_PRIVATE = 64         /* not for announcing */
};

struct sasl_options {
	unsigned forbidden, required;     /* enum sasl_property, ORed */
};

/* "noplaintext, noanonymous"; `what` names the parameter in the error. */
bool sasl_options_parse(const char *text, const char *what, struct sasl_options *options, struct err *err) MUST_USE;
bool sasl_options_allow(const struct sasl_options *options, unsigned properties);
/* 1 to 20 of A-Z a-z 0-9 - _ */
bool sasl_mechanism_valid(struct slice name);
/* Of the mechanisms that Postrider has itself; false: not one of them. */
bool sasl_mechanism_properties(struct slice name, unsigned *properties);

#endif
