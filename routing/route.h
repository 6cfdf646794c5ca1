/* SPDX-License-Identifier: ISC */
/*
 * Where an address goes: its class (local, relay, …), whether the recipient exists, and
 * transport and next hop.  Used by smtpd (RCPT), cleanup, qmgr and the commands.  See
 * ADDRESS_CLASS in doc/.  A table that cannot answer gives ROUTE_ERROR: the caller defers.
 */
#ifndef POSTRIDER_ROUTING_ROUTE_H
#define POSTRIDER_ROUTING_ROUTE_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/config/config.h"

enum route_class { ROUTE_LOCAL, ROUTE_VIRTUAL_ALIAS, ROUTE_VIRTUAL_MAILBOX, ROUTE_RELAY, ROUTE_DEFAULT };

struct router;
/* Opens all tables that routing needs, before privileges are dropped. */
struct router *router_create(const struct config *config, struct err *err) MUST_USE;
void router_free(struct router **router);
/* A table behind it was replaced: the process should retire or rebuild the router. */
bool router_changed(struct router *router);

struct route {
	enum route_class class_;
	struct slice address;      /* canonical: "user" → user@$myorigin, domain lower case */
	struct slice transport;    /* "smtp", "local", "error" */
	struct slice nexthop;      /* "example.com", "[host]:port", or error text */
	bool routed;               /* the sender asked for a way through us (user%far@here): not for strangers */
};
/* False: a lookup failed (ERR_TEMPORARY). */
bool router_resolve(struct router *router, struct slice recipient, struct slice sender, struct arena *arena,
		    struct route *route, struct err *err) MUST_USE;
/* 1 yes, 0 no such recipient in its class (local, relay with relay_recipient_maps, virtual), -1 lookup error. */
int router_recipient_exists(struct router *router, const struct route *route, struct arena *arena, struct err *err) MUST_USE;
/* Is the client's address (and name) in mynetworks?  1, 0, -1. */
int router_is_mynetworks(struct router *router, struct slice name, struct slice address, struct err *err) MUST_USE;
/* Appends @$myorigin and .$mydomain as Postfix's rewriting does for local addresses. */
struct slice router_canonical(struct router *router, struct slice address, struct arena *arena);

#endif
