/* SPDX-License-Identifier: ISC */
/* A transport's limits, from main.cf. */
#ifndef POSTRIDER_QMGR_LIMITS_H
#define POSTRIDER_QMGR_LIMITS_H

#include "common/config/config.h"
#include "qmgr/schedule.h"

/* Before the sandbox: opens the tables of ..._destination_message_rate. */
bool limits_open(const struct config *config, struct err *err) MUST_USE;
bool limits_changed(void);
/* `limits` of schedule_transport.  What is malformed is logged, and the default holds. */
struct destination_limits limits_of(const char *transport);
/* "100/1h": false when it is not of that form. */
bool limits_parse_rate(struct slice text, long *messages, double *period);

#endif
