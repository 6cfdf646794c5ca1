/* SPDX-License-Identifier: ISC */
/*
 * Where an address goes: its class (local, relay, …), whether the recipient exists, and
 * transport and next hop, in the order of trivial-rewrite(8).  Used by smtpd (RCPT), cleanup, qmgr
 * and the commands.  See Postfix's ADDRESS_CLASS_README.  A table that cannot answer is an error with
 * ERR_TEMPORARY: the caller defers.  A lookup may suspend the calling task.
 */
#ifndef POSTRIDER_ROUTING_ROUTE_H
#define POSTRIDER_ROUTING_ROUTE_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/config/config.h"
#include "routing/trace.h"

enum route_class { ROUTE_LOCAL, ROUTE_VIRTUAL_ALIAS, ROUTE_VIRTUAL_MAILBOX, ROUTE_RELAY, ROUTE_DEFAULT };

struct router;
/* Opens all tables that routing needs, before privileges are dropped. */
struct router *router_create(const struct config *config, struct err *err) MUST_USE;
/* Only what router_resolve needs; recipients are not checked with it. */
struct router *router_create_for_delivery(const struct config *config, struct err *err) MUST_USE;
/* The same for probes: address_verify_transport_maps and its kin in place of the usual parameters. */
struct router *router_create_for_probes(const struct config *config, struct err *err) MUST_USE;
/* One with the same settings and the tables as they are now: opens files, and nothing else; possible in a sandbox. */
struct router *router_create_again(const struct router *before, struct err *err) MUST_USE;
void router_free(struct router **router);
/* A table behind it was replaced: the process should retire or rebuild the router. */
bool router_changed(struct router *router);
/* A table that could not be opened, whose lookups fail; NULL: there is none. */
const char *router_unopened(const struct router *router);
/* Tells each step that is taken from now on; NULL: nobody listens. */
void router_set_trace(struct router *router, const struct trace *trace);

struct route {
	enum route_class class_;
	struct slice address;      /* as it is delivered: "user" → user@$myorigin, user%far@here → user@far */
	struct slice transport;    /* "smtp", "local", "error" */
	struct slice nexthop;      /* "example.com", "[host]:port"; of error and retry: "5.1.1 text" or a text */
	bool routed;               /* the local part says a way on from a far domain: not for strangers */
	bool invalid;              /* malformed: transport is error, 5.1.3 */
};
/* False: a lookup failed (ERR_TEMPORARY).  `sender` is empty for the null sender. */
bool router_resolve(struct router *router, struct slice recipient, struct slice sender, struct arena *arena,
		    struct route *route, struct err *err) MUST_USE;
/* 1 yes, 0 no such recipient in its class, or it is known that it cannot be delivered to; -1 lookup error. */
int router_recipient_exists(struct router *router, const struct route *route, struct arena *arena, struct err *err) MUST_USE;

/* Why mail for a recipient is not to be taken. */
struct route_refusal {
	int code;                  /* 550, or 450 */
	struct slice dsn;          /* "5.1.1", "5.1.6" */
	struct slice text;         /* "User unknown in local recipient table", "User has moved to …" */
};
/* As router_recipient_exists; at 0 *refusal says what to answer. */
int router_check_recipient(struct router *router, const struct route *route, struct arena *arena,
			   struct route_refusal *refusal, struct err *err) MUST_USE;
/* "5.1.1 text": takes the status off the front of an error's next hop; `fallback` when there is none. */
struct slice route_split_text(struct slice text, const char *fallback, struct slice *dsn);

/*
 * False: no mail goes to or comes from such an address: a domain that is none or that is a number (but for
 * resolve_numeric_domain), "-" in front (but for allow_min_user).  No table is asked.
 */
bool router_valid_address(struct router *router, struct slice address);
/* Is the client's address (and name) in mynetworks?  1, 0, -1. */
int router_is_mynetworks(struct router *router, struct slice name, struct slice address, struct err *err) MUST_USE;
/* Is the address one of inet_interfaces or proxy_interfaces (permit_inet_interfaces)?  1, 0, -1. */
int router_is_own_address(struct router *router, struct slice address, struct err *err) MUST_USE;
/* Appends @$myorigin and .$mydomain as Postfix's rewriting does for local addresses. */
struct slice router_canonical(struct router *router, struct slice address, struct arena *arena);

#endif
