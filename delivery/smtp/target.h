/* SPDX-License-Identifier: ISC */
/* From a next hop to the addresses to try. */
#ifndef POSTRIDER_DELIVERY_SMTP_TARGET_H
#define POSTRIDER_DELIVERY_SMTP_TARGET_H

#include <sys/socket.h>

#include "common/base/arena.h"
#include "common/net/ipc.h"
#include "common/proto/tlsrpt_proto.h"
#include "delivery/smtp/settings.h"

/* Why something did not work, for results. */
struct smtp_failure {
	bool permanent;
	enum tlsrpt_result tls; /* what a report on TLS says of it; TLSRPT_SUCCESS: nothing */
	char dsn[12];
	struct slice text;    /* the log's */
	struct slice remote;  /* the server's reply, or empty */
	struct slice relay;   /* empty: "none" */
};
void smtp_fail(struct smtp_failure *failure, struct arena *arena, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));  /* permanent: the dsn's class is 5 */

/* A next hop: "domain", "domain:port", "[host]:port", "inet:host:port", "unix:path". */
struct smtp_nexthop {
	enum smtp_nexthop_kind { SMTP_NEXTHOP_DOMAIN, SMTP_NEXTHOP_HOST, SMTP_NEXTHOP_UNIX } kind;
	struct slice name;    /* domain, host or path */
	unsigned port;
};
bool smtp_nexthop_parse(struct slice text, const struct smtp_settings *settings, struct smtp_nexthop *nexthop);

struct smtp_target {
	struct sockaddr_storage address;
	socklen_t address_len;
	struct slice host;    /* "mx.example.com", or the address itself */
	struct slice text;    /* "192.0.2.1", "2001:db8::1", path */
	unsigned port;        /* 0: a Unix socket */
	struct slice canonical; /* the host's name behind aliases; empty: not looked up */
	bool secure_mx;       /* the host was named by signed records, or by the administrator */
	bool secure_host;     /* its addresses are signed */
};

struct smtp_target_list {
	struct smtp_target *target;
	size_t count;
};

/* Asks one question: smtp_ask_resolver, or a test's answers. */
struct dns_answer;
typedef void smtp_query_fn(void *context, struct slice name, int type, struct arena *arena, struct dns_answer *answer);

struct smtp_lookup {
	smtp_query_fn *query;
	void *context;
	const struct smtp_settings *settings;
	struct arena *arena;
	unsigned port;        /* set by smtp_targets_find */
	bool require_tls;     /* the message's: REQUIRETLS (RFC 8689) */
	bool tls_optional;    /* the message's: TLS-Required: No, what domains publish is passed over */
};

/* `client` is a struct ipc_client of the resolver's. */
void smtp_ask_resolver(void *client, struct slice name, int type, struct arena *arena, struct dns_answer *answer);
/* In the order to try.  False fills *failure. */
bool smtp_targets_find(struct smtp_lookup *lookup, struct slice nexthop, struct smtp_target_list *list,
		       struct smtp_failure *failure) MUST_USE;

/* A numeric address, with or without "IPv6:", brackets already taken off. */
bool smtp_target_literal(struct slice text, unsigned port, struct arena *arena, struct smtp_target *target);

#endif
