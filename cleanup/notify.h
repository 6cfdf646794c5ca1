/* SPDX-License-Identifier: ISC */
/*
 * Tells qmgr about committed messages.  What is told may be told twice: after a lost
 * connection all recent IDs are sent again, as nobody knows which of them were read.
 */
#ifndef POSTRIDER_CLEANUP_NOTIFY_H
#define POSTRIDER_CLEANUP_NOTIFY_H

#include "common/net/ipc.h"

/*
 * Starts the task that keeps the connection.  `connect` is process_connect but in tests.  `returned`
 * gets the names of files that qmgr has done with; `busy` (or NULL) +1 while there is something to tell
 * and -1 when it has been told.
 */
void notify_start(ipc_connect_fn *connect, void (*returned)(const char *name), void (*busy)(int change));
void notify_stop(void);
/* The mail system stops: the next queue manager reads the queue, nobody need be told. */
void notify_give_up(void);
/* Mail comes faster than it goes, says qmgr. */
bool notify_flooded(void);
void notify_message(const char *queue_id);
/* IDs that could not be sent yet. */
size_t notify_waiting(void);

#endif
