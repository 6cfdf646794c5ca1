/* SPDX-License-Identifier: ISC */
/*
 * A probe: an address is expanded and routed as mail to it would be, and the delivery agent of its
 * transport is asked to go as far as it can without delivering anything.  No file of the queue is written.
 */
#ifndef POSTRIDER_VERIFY_PROBE_H
#define POSTRIDER_VERIFY_PROBE_H

#include "common/config/config.h"
#include "common/proto/verify_proto.h"

/* Before privileges are dropped: opens the tables. */
bool probe_open(const struct config *config, struct err *err) MUST_USE;
bool probe_tables_changed(void);
/* Suspends the task for as long as the agent takes.  Never VERIFY_UNKNOWN. */
void probe_address(struct slice address, struct verify_result *result);

#endif
