/* SPDX-License-Identifier: ISC */
/* The addresses of this host, and the networks that mynetworks_style derives from them. */
#ifndef POSTRIDER_ROUTING_NETWORKS_H
#define POSTRIDER_ROUTING_NETWORKS_H

#include "common/base/err.h"
#include "common/base/str.h"

/*
 * The addresses that inet_interfaces or proxy_interfaces names ("all", "loopback-only", addresses, host
 * names), as "1.2.3.4" and "::1", separated by spaces.  Looks names up: before the sandbox.
 */
bool networks_of_interfaces(const char *interfaces, struct str *out, struct err *err) MUST_USE;
/* The value of mynetworks for a style: "host", "subnet" or "class". */
bool networks_of_style(const char *style, struct str *out, struct err *err) MUST_USE;

#endif
