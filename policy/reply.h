/* SPDX-License-Identifier: ISC */
/* What a client is answered. */
#ifndef POSTRIDER_POLICY_REPLY_H
#define POSTRIDER_POLICY_REPLY_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct smtp_reply {
	int code;                          /* 0: nothing to say, go on */
	char dsn[16];                      /* "5.7.1"; empty: none */
	char text[500];
};

void reply_set(struct smtp_reply *r, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * Takes an enhanced status ("5.7.1", RFC 3463) off the front of `text` and gives the rest; *dsn is `fallback`
 * when there is none.  Its class becomes that of `code` (4xx: 4).
 */
struct slice reply_split_dsn(struct slice text, int code, const char *fallback, char dsn[16]);
/* "450 4.7.1 text": takes the code off; 0 when it does not begin with 4NN or 5NN. */
int reply_split_code(struct slice *text);

#endif
