/* SPDX-License-Identifier: ISC */
/* Connects processes with each other, as far as the service table allows. */
#ifndef POSTRIDER_MASTER_SWITCHBOARD_H
#define POSTRIDER_MASTER_SWITCHBOARD_H

#include "master/service.h"

/* Answers a CONNECT: now, or when a process of the service is there. */
void switchboard_connect(struct child *asker, struct ipc_in *m);
/* A process of the service has started: serves those who wait. */
void switchboard_retry(struct service *service);
/* Refuses those who have waited too long; every second. */
void switchboard_tick(double now);
/* Forgets the process. */
void switchboard_forget(const struct child *child);
/* The service goes: refuses those who wait for it. */
void switchboard_forget_service(const struct service *service);

#endif
