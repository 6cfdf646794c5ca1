/* SPDX-License-Identifier: ISC */
/* The parameters: one row each.  Defaults and meanings follow postconf(5) of Postfix unless marked "own". */
#ifndef POSTRIDER_COMMON_CONFIG_PARAMS_H
#define POSTRIDER_COMMON_CONFIG_PARAMS_H

#include "common/base/slice.h"

enum param_type { PARAM_TEXT, PARAM_INT, PARAM_BOOL, PARAM_TIME };

struct param {
	const char *name;
	enum param_type type;
	const char *value;  /* default, unexpanded; NULL: computed at load (host name) */
	long min, max;      /* PARAM_INT and PARAM_TIME (seconds); both 0: min 0, no maximum */
	char unit;          /* PARAM_TIME: unit of a bare number: s m h d w */
	const char *text;   /* one line for people */
	bool raw;           /* PARAM_TEXT whose $names are expanded for each delivery, not at load */
};

const struct param *param_find(struct slice name);  /* NULL: unknown */
size_t param_count(void);
const struct param *param_at(size_t index);         /* in order of name */
/* "5d", "300s", "10" with the row's unit: seconds.  False when malformed. */
bool param_parse_time(struct slice text, char unit, double *seconds);
bool param_parse_bool(struct slice text, bool *value);

#endif
