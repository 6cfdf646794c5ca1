/* SPDX-License-Identifier: ISC */
/* Lines of Dovecot's authentication protocol, version 1: words between tabs. */
#ifndef POSTRIDER_AUTH_DOVECOT_LINE_H
#define POSTRIDER_AUTH_DOVECOT_LINE_H

#include "common/base/str.h"
#include "common/proto/auth_proto.h"

#define DOVECOT_LINE_MAX 32768

enum dovecot_kind {
	DOVECOT_OTHER,       /* nothing that we need: SPID, CUID, COOKIE, what newer versions say */
	DOVECOT_VERSION, DOVECOT_MECHANISM, DOVECOT_DONE, DOVECOT_CONTINUE, DOVECOT_OK, DOVECOT_FAIL
};

struct dovecot_line {
	enum dovecot_kind kind;
	uint64_t number;             /* VERSION: major; CONTINUE, OK, FAIL: id of the request */
	struct slice name;           /* MECHANISM */
	unsigned properties;         /* MECHANISM: enum sasl_property */
	struct slice data;           /* CONTINUE: base64 */
	struct slice user;           /* OK, FAIL; not unescaped yet */
	struct slice reason, code;   /* FAIL; not unescaped yet */
	bool temporary;              /* FAIL */
};

/* Slices point into `text`.  False: a line that we need is malformed. */
bool dovecot_parse(struct slice text, struct dovecot_line *line) MUST_USE;
/* Undoes the protocol's escapes (001 and a letter). */
void dovecot_unescape(struct slice text, struct str *out);
/* " \t name=value", escaped. */
void dovecot_put(struct str *out, const char *name, struct slice value);
/* The line that begins a log-in. */
void dovecot_put_auth(struct str *out, uint64_t number, const char *service, const struct auth_start *start);

#endif
