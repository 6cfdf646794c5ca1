/* SPDX-License-Identifier: ISC */
/* A whole delivery: kept connection, addresses in turn, results. */
#ifndef POSTRIDER_DELIVERY_SMTP_DELIVER_H
#define POSTRIDER_DELIVERY_SMTP_DELIVER_H

#include "delivery/smtp/cache.h"
#include "delivery/smtp/client.h"

struct smtp_outcome {
	bool kept;     /* a connection to the next hop stays open */
	bool dead;     /* no server could be talked to */
};

/*
 * In a task.  When it returns all recipients are decided and reported (on_decided).
 * `delivery` has job, settings, arena, on_decided and context filled in.
 */
struct smtp_outcome smtp_deliver(struct smtp_delivery *delivery, struct smtp_cache *cache, struct ipc_client *resolver);

#endif
