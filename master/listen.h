/* SPDX-License-Identifier: ISC */
/* Listening sockets: names to addresses, binding, and the pool of those that are open. */
#ifndef POSTRIDER_MASTER_LISTEN_H
#define POSTRIDER_MASTER_LISTEN_H

#include "master/plan.h"

#define LISTEN_MAX 64   /* sockets of one service */

/*
 * The sockets of "smtp", "25", "host:25", "[::1]:25", ":25": for a name without host
 * those of inet_interfaces, all within inet_protocols.  Adds to found[], at most LISTEN_MAX.
 */
bool listen_inet(const struct config *config, const char *name, struct listener **found, size_t *count,
		 struct err *err) MUST_USE;
/* A SOCK_SEQPACKET socket at a path (below queue_directory/public), mode 0666. */
struct listener *listen_unix(const char *path, struct err *err);
/* Forgets what the plan being built has asked for. */
void listen_begin(void);
void listen_abandon(void);  /* closes the fresh ones; those in use stay */
void listen_commit(void);   /* closes those that are not wanted */
/* Cuts "host:port" in two; host is empty when there is none.  For tests too. */
bool listen_split(const char *name, char *host, size_t host_size, char *port, size_t port_size);

#endif
