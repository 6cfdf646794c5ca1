/* SPDX-License-Identifier: ISC */
/* Asking the resolver: A, AAAA, MX, NS, TXT, PTR, CNAME, TLSA; many questions side by side. */
#ifndef POSTRIDER_COMMON_PROTO_RESOLVER_PROTO_H
#define POSTRIDER_COMMON_PROTO_RESOLVER_PROTO_H

#include "common/base/arena.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol resolver_protocol;    /* "resolver", 1 */

enum resolver_message { RESOLVER_QUERY = 1, RESOLVER_ANSWER, RESOLVER_STATUS, RESOLVER_COUNTERS };

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };
enum dns_status {
	DNS_OK,
	DNS_NXDOMAIN,      /* no such name */
	DNS_NODATA,        /* the name exists, not this type */
	DNS_TEMPORARY,     /* no server answered, SERVFAIL, time out */
	DNS_BOGUS,         /* DNSSEC says that the answer is forged (extended error) */
	DNS_INVALID        /* the question itself is malformed */
};

struct dns_record {
	enum dns_type type;
	uint32_t ttl;
	uint16_t preference;           /* MX */
	struct slice name;             /* MX, PTR, CNAME: host name, lower case, no trailing dot (root: ".") */
	struct slice data;             /* A: 4 bytes, AAAA: 16, TXT: strings joined, TLSA: raw rdata */
};

struct dns_answer {
	enum dns_status status;
	bool secure;                   /* AD from a trusted server */
	bool stale;                    /* served after its time, servers are down */
	struct slice canonical;        /* the name after CNAMEs */
	struct dns_record *records;
	size_t count;
};

/*
 * Suspends the task.  Never fails otherwise than by answer->status (a resolver
 * that is away is DNS_TEMPORARY).  Memory is the arena's.
 */
void resolver_query(struct ipc_client *client, struct slice name, enum dns_type type, double deadline,
		    struct arena *arena, struct dns_answer *answer);
/* PTR of an address: builds the in-addr.arpa or ip6.arpa name. */
struct sockaddr;
void resolver_query_ptr(struct ipc_client *client, const struct sockaddr *address, double deadline,
			struct arena *arena, struct dns_answer *answer);
const char *dns_status_text(enum dns_status status);
const char *dns_type_text(enum dns_type type);
/* "MX", "mx": false when it is none of ours. */
bool dns_type_parse(struct slice text, enum dns_type *type);

/* What the resolver has done since it started, and holds now. */
struct resolver_counters {
	uint64_t questions, hits, upstream, stale, temporary;
	uint64_t entries, bytes, in_flight;
};
/* Suspends the task. */
bool resolver_ask_counters(struct ipc_client *client, double deadline, struct resolver_counters *counters,
			   struct err *err) MUST_USE;
bool resolver_put_counters(struct ipc_out *m, uint32_t request, const struct resolver_counters *counters);

/* Both directions' codecs, used by the resolver and the stub. */
bool resolver_put_query(struct ipc_out *m, uint32_t request, struct slice name, enum dns_type type);
/* Unknown types are malformed. */
bool resolver_get_query(const struct ipc_in *m, struct slice *name, enum dns_type *type) MUST_USE;
bool resolver_put_answer(struct ipc_out *m, uint32_t request, const struct dns_answer *answer);
bool resolver_get_answer(const struct ipc_in *m, struct arena *arena, struct dns_answer *answer, struct err *err) MUST_USE;

#endif
