/* SPDX-License-Identifier: ISC */
/*
 * Handing a delivery to another agent, which is spoken to as qmgr does: local to the transports of
 * mailbox_transport and kin, verify to those that a probe asks.  One connection a service, kept.
 */
#ifndef POSTRIDER_DELIVERY_LIB_HANDOFF_H
#define POSTRIDER_DELIVERY_LIB_HANDOFF_H

#include "delivery/lib/outcome.h"

/*
 * A job of one recipient; its id is set here.  Suspends the task till the agent is done: its own time
 * limits end it.  False: it has not said what became of it, and so has not logged it; *o is 4.3.0 then.
 */
bool handoff(const char *service, struct delivery_job *job, struct outcome *o) MUST_USE;

#endif
