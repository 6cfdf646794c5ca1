/* SPDX-License-Identifier: ISC */
/* Passwords as they are stored: a hash of crypt(3), or SCRAM's keys. */
#ifndef POSTRIDER_COMMON_SASL_PASSWORD_H
#define POSTRIDER_COMMON_SASL_PASSWORD_H

#include "common/base/err.h"
#include "common/base/str.h"

enum password_result {
	PASSWORD_RIGHT,
	PASSWORD_WRONG,      /* also: the entry is locked ("!" or "*" at its front) */
	PASSWORD_UNUSABLE    /* the stored text is none of the forms */
};

/* Costs what the hash was made to cost: for worker threads and commands. */
enum password_result password_verify(struct slice stored, struct slice password);
/* `scheme`: "yescrypt", "bcrypt", "sha512" or "scram-sha-256". */
bool password_hash(const char *scheme, struct slice password, struct str *out, struct err *err) MUST_USE;
/* Is the text of a form that password_verify knows (a locked entry included)? */
bool password_usable(struct slice stored);

#endif
