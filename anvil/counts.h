/* SPDX-License-Identifier: ISC */
/*
 * How much each client does: sessions open now, and events in the unit of time that began with the
 * first of them.  In memory: what has neither is forgotten.
 */
#ifndef POSTRIDER_ANVIL_COUNTS_H
#define POSTRIDER_ANVIL_COUNTS_H

#include "common/proto/anvil_proto.h"

/* Clients that are remembered; beyond it new ones are not counted, which is logged. */
#define COUNTS_CLIENTS_MAX ((size_t)1000000)

struct counts;
struct counts *counts_create(double unit);
void counts_free(struct counts **counts);
/* Of ANVIL_CONNECT `owner` (an smtpd) has one session more.  Rates are what they are after this event. */
void counts_add(struct counts *counts, const struct anvil_who *who, enum anvil_event event, const void *owner, double now,
		struct anvil_counts *result);
/* A session of the owner has ended; one that it does not have is left alone. */
void counts_leave(struct counts *counts, const struct anvil_who *who, const void *owner);
/* All sessions of the owner have ended. */
void counts_leave_all(struct counts *counts, const void *owner);
/* Forgets whoever has no session and no event in the present unit. */
void counts_sweep(struct counts *counts, double now);
size_t counts_clients(const struct counts *counts);

/* The highest numbers since the last call, a line each as Postfix's anvil writes them: "max connection rate 3/60s for …". */
void counts_statistics(struct counts *counts, void (*line)(const char *text, void *context), void *context);

#endif
