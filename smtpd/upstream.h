/* SPDX-License-Identifier: ISC */
/* smtpd_upstream_proxy_protocol = haproxy: the client is whom the proxy in front of us says. */
#ifndef POSTRIDER_SMTPD_UPSTREAM_H
#define POSTRIDER_SMTPD_UPSTREAM_H

#include "common/net/proxy_header.h"

/*
 * Takes the header off the socket, and not a byte more.  In a task.  False: none came in time, or it
 * is malformed; `from` is the proxy, for the log.
 */
bool upstream_read(int fd, const char *from, double timeout, struct proxy_header *header);

#endif
