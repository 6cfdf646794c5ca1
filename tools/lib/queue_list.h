/* SPDX-License-Identifier: ISC */
/* The messages of the queue, one by one: from showq, or from the files when the mail system is down. */
#ifndef POSTRIDER_TOOLS_LIB_QUEUE_LIST_H
#define POSTRIDER_TOOLS_LIB_QUEUE_LIST_H

#include "common/config/config.h"
#include "tools/lib/queue_filter.h"

/* `line`: the entry as JSON, without its line break.  False ends the listing. */
typedef bool queue_list_fn(const struct queue_entry *entry, struct slice line, void *context);
/* In no order.  False: it could not be had whole (logged). */
bool queue_list(const struct config *config, queue_list_fn *fn, void *context);

#endif
