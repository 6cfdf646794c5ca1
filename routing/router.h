/* SPDX-License-Identifier: ISC */
/* What the files of routing/ share: the router's tables, and looking an address up in them. */
#ifndef POSTRIDER_ROUTING_ROUTER_H
#define POSTRIDER_ROUTING_ROUTER_H

#include "common/base/str.h"
#include "routing/form.h"
#include "routing/route.h"
#include "tables/table.h"

enum router_map {
	MAP_TRANSPORT, MAP_SENDER_TRANSPORT, MAP_SENDER_RELAYHOST, MAP_RELOCATED,
	MAP_LOCAL_RECIPIENT, MAP_RELAY_RECIPIENT, MAP_VIRTUAL_MAILBOX, MAP_VIRTUAL_ALIAS,
	MAP_CANONICAL, MAP_SENDER_CANONICAL, MAP_RECIPIENT_CANONICAL, MAP_SENDER_BCC, MAP_RECIPIENT_BCC,
	MAP_COUNT
};
/* What a router is for: it opens the maps of that only, so that no other makes its process start afresh. */
enum router_purpose { ROUTER_ALL, ROUTER_DELIVERY, ROUTER_PROBES, ROUTER_REWRITE };
enum router_list {
	LIST_DESTINATION, LIST_VIRTUAL_ALIAS, LIST_VIRTUAL_MAILBOX, LIST_RELAY, LIST_COUNT
};

struct router {
	const struct config *config;
	enum router_purpose purpose;
	struct table_list *map[MAP_COUNT]; /* NULL: not for this purpose */
	struct match_list *list[LIST_COUNT];
	struct match_list *mynetworks, *own_addresses;
	struct str own_text, network_text;
	struct form_style form;      /* of what is rewritten */
	struct form_style here;      /* of what is resolved as it stands: without a domain it is for this host */
	const char *delimiter;           /* recipient_delimiter */
	struct slice myorigin, myhostname;
	bool dequoted, null_domain, numeric_domain, min_user, untrusted_routing, transport_parents;
	const struct trace *trace;
};

struct router *router_create_for(const struct config *config, enum router_purpose purpose, struct err *err) MUST_USE;
/* The parameter that a map or, with "_transport" and the like, a probe's setting is named by. */
const char *router_map_name(const struct router *r, enum router_map map);

/* Which forms of an address a table is asked for. */
#define FIND_LOCAL_PART 1    /* user+ext, user: where the domain is ours or $myorigin */
#define FIND_AT_DOMAIN  2    /* @domain */
#define FIND_DOMAIN     4    /* domain and its parents (transport(5)) */
#define FIND_ADDRESS    (FIND_LOCAL_PART | FIND_AT_DOMAIN)

struct router_find {
	struct slice address;        /* internal form */
	unsigned forms;
	/* when found: */
	struct slice value, key;
	struct slice extension;      /* "+ext", which the key did not have; else empty */
	const char *table;
};
enum table_result router_find(struct router *r, enum router_map map, struct router_find *find, struct arena *arena,
			      struct err *err) MUST_USE;
/* mydestination, or an address literal of ours. */
enum table_result router_is_local_domain(struct router *r, struct slice domain, struct err *err) MUST_USE;

void router_tell(const struct router *r, const char *what, struct slice from, struct slice to);
void router_tell_found(const struct router *r, enum router_map map, const struct router_find *find,
		       const struct slice *to, size_t count);

#endif
