/* SPDX-License-Identifier: ISC */
/*
 * How a function says why it failed: a kind that the caller can act on, and
 * a text for people.  Functions that fill a struct err return bool or -1/0/1.
 */
#ifndef POSTRIDER_COMMON_BASE_ERR_H
#define POSTRIDER_COMMON_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))

enum err_code {
	ERR_NONE = 0,
	ERR_TEMPORARY,   /* may go through later: our environment, a server that is down */
	ERR_PERMANENT,   /* will fail again */
	ERR_SYNTAX,      /* the input is malformed */
	ERR_LIMIT,       /* larger than a limit allows */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_CLOSED,      /* the other side is gone */
	ERR_CANCELLED,   /* our own task was cancelled */
	ERR_NOT_FOUND,
	ERR_NO_SPACE     /* disk or quota full */
};

struct err {
	enum err_code code;
	char text[252];
};

/* Sets the error (NULL is allowed and ignored) and returns false. */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, with ": " and the text of errno at the end. */
bool err_set_errno(struct err *err, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "context: " before the text that is there already; returns false. */
bool err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
