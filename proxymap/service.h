/* SPDX-License-Identifier: ISC */
/*
 * Connections to policy services for processes that may not connect: made here, and handed over, so that
 * what is said goes directly.  Only to servers that check_policy_service names in the configuration.
 */
#ifndef POSTRIDER_PROXYMAP_SERVICE_H
#define POSTRIDER_PROXYMAP_SERVICE_H

#include "proxymap/approved.h"

void service_open(const struct config *config);
/* `server`: "inet:host:port", "unix:path"; a relative path is one in queue_directory. */
bool service_is_approved(struct approved *approved, struct slice server);
/* Suspends the task.  A connected descriptor, or -1 with an error that names the server. */
int service_connect(struct slice server, struct err *err);

#endif
