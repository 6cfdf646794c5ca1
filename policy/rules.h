/* SPDX-License-Identifier: ISC */
/*
 * The inside of policy/: lists compiled into rules, and what a rule's function gets.  A file a family of
 * restrictions; rules.c has the table of their names.
 */
#ifndef POSTRIDER_POLICY_RULES_H
#define POSTRIDER_POLICY_RULES_H

#include "common/proto/resolver_proto.h"
#include "policy/policy.h"
#include "routing/route.h"
#include "tables/table.h"

enum verdict { VERDICT_DUNNO, VERDICT_PERMIT, VERDICT_REJECT };

/* What a restriction is about. */
enum subject {
	ABOUT_LIST,                        /* whatever its list is about */
	ABOUT_CLIENT, ABOUT_REVERSE_CLIENT, ABOUT_CERTIFICATE, ABOUT_LOGIN, ABOUT_HELO, ABOUT_SENDER, ABOUT_RECIPIENT,
	ABOUT_DATA, ABOUT_END_OF_DATA, ABOUT_ETRN, ABOUT_ORIGIN /* local_header_rewrite_clients */
};

enum argument {
	ARGUMENT_NONE, ARGUMENT_TABLE, ARGUMENT_CERTIFICATE_TABLE, ARGUMENT_ZONE, ARGUMENT_SERVICE, ARGUMENT_SECONDS
};

struct inquiry;
struct rule;

struct rule_type {
	const char *name;
	enum verdict (*apply)(struct inquiry *q, const struct rule *rule);
	enum argument argument;
	enum subject subject;
	int detail;                        /* for the function: a dns_type, a choice */
	bool closes;                       /* stops strangers: a list may end with it */
	bool unsafe_ok;                    /* its table must not say OK: for what a client can choose at will */
};

/* reject_rbl_client and kin: the zone, and which answers count. */
struct dnsbl_zone {
	struct slice domain, filter;       /* filter empty: any */
	struct slice whole;                /* "zone=filter" as configured */
	struct slice *patterns;            /* 4 a piece: of the octets */
	size_t pattern_count;
};

/* Connections to a policy service that nobody uses now, the last used first. */
struct idle_connection {
	struct idle_connection *next;
	struct stream *stream;
	double since;
	long requests;
};

/* check_policy_service { inet:host:port, timeout=…, … } */
struct policy_service {
	struct slice server, default_action, context;
	double timeout, retry_delay, max_idle;
	long tries, request_limit;
	struct policy_service *next;       /* of all of the policy */
	struct idle_connection *idle;
	size_t idle_count;
};

struct rule {
	const struct rule_type *type;
	const struct rule *next;
	bool warn;                         /* warn_if_reject stands before it */
	const struct rule *members;        /* of a restriction class */
	struct slice word;                 /* as configured */
	struct table_list *table;
	const char *const *search_order;   /* ARGUMENT_CERTIFICATE_TABLE; ended by NULL */
	const struct dnsbl_zone *zone;
	struct policy_service *service;
	double seconds;
};

struct policy_codes {
	int reject, defer, access_reject, access_defer, dnsbl, relay, invalid_helo, non_fqdn, unknown_client, unknown_helo,
		unknown_address, multi_recipient_bounce, plaintext, unverified_recipient, unverified_sender,
		unverified_recipient_defer, unverified_sender_defer;
	int unknown_recipient[5];          /* by enum route_class */
};

struct policy_table {                      /* each table is opened once */
	struct table_list *list;
	struct policy_table *next;
	struct slice spec;
};

struct policy {
	struct arena *arena;               /* of all that is compiled */
	const struct config *config;
	struct router *router;
	const struct rule *lists[POLICY_STAGES];
	const struct rule *local_clients;  /* local_header_rewrite_clients */
	struct policy_table *tables;
	struct policy_service *services;
	struct policy_codes codes;
	struct table_list *login_maps, *dnsbl_replies, *client_certificates;
	struct match_list *backup_networks, *log_permits;
	const char *delimiter, *null_key, *dnsbl_reply;
	bool delay_reject, relay_first, reject_unlisted_recipient, reject_unlisted_sender, parent_matches;
	bool helo_defers_if_permit, address_defers_if_permit; /* …_tempfail_action = defer_if_permit */
	bool unverified_recipient_defers_if_permit, unverified_sender_defers_if_permit;
	const char *unverified_recipient_text, *unverified_sender_text;
	double verify_wait, mailauth_wait;
	struct ipc_client *resolver, *proxymap, *verify, *mailauth;
};

/* One question on its way through the lists. */
struct inquiry {
	struct policy *policy;
	const struct policy_facts *facts;
	struct policy_memory *memory;      /* where effects go */
	struct arena *arena;
	struct smtp_reply *reply;
	enum subject list_subject;
	bool warn_only;
	bool quiet;                        /* what is permitted is not logged: it is no restriction that is asked */
	unsigned depth;                    /* of classes and of restrictions in access tables */
	struct policy_deferral *if_permit; /* lives on over lists */
	struct policy_deferral if_reject;
	bool recipient_was_checked, sender_was_checked;  /* by reject_unlisted_… */
	bool has_recipient_route, has_sender_route;
	struct route recipient_route, sender_route;
};

/* --- rules.c: compiling --- */

/* The list of a parameter; `name` for errors.  False: *err names the word. */
bool rules_compile(struct policy *policy, const char *parameter, const char *text, enum subject subject,
		   const struct rule **rules, struct err *err) MUST_USE;
/*
 * A restriction list out of an access table, in `arena`: its tables must have been opened for another list.
 */
bool rules_compile_result(struct policy *policy, struct slice text, struct arena *arena, const struct rule **rules,
			  struct err *err) MUST_USE;
bool rules_close(const struct rule *rules);
struct table_list *policy_table_open(struct policy *policy, struct slice spec, struct err *err);

/* --- inquiry.c: answers --- */

enum verdict rules_apply(struct inquiry *q, const struct rule *rules);
/* Who it is about, for texts: "<x>: Sender address rejected: …".  False: not known yet. */
struct about {
	struct slice name;
	const char *kind;
	enum subject subject;
};
bool inquiry_about(const struct inquiry *q, enum subject subject, struct about *about);
/* VERDICT_REJECT, unless it is a warning only; a deferral that waits for a reject takes its place. */
enum verdict refuse(struct inquiry *q, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* "<name>: Kind rejected: text", the status fitted to what it is about. */
enum verdict refuse_about(struct inquiry *q, const struct about *about, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
enum verdict defer_if_permit(struct inquiry *q, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
enum verdict defer_if_reject(struct inquiry *q, int code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A table has no answer now. */
enum verdict lookup_failed(struct inquiry *q, struct slice subject, const struct err *err);
/* The configuration cannot be meant so: a warning, 451 4.3.5. */
enum verdict configuration_error(struct inquiry *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Statuses of senders, recipients and others are not the same (access(5)): "5.1.1" of a sender is "5.1.0". */
void fit_dsn(char dsn[16], enum subject subject);
/* NULL: a lookup failed, *verdict says what becomes of it. */
const struct route *inquiry_recipient_route(struct inquiry *q, enum verdict *verdict);
const struct route *inquiry_sender_route(struct inquiry *q, enum verdict *verdict);
/* Asks the resolver. */
void inquiry_dns(struct inquiry *q, struct slice name, enum dns_type type, struct dns_answer *answer);

/* Of an A or AAAA record: "192.0.2.1"; empty of others. */
struct slice dns_address_text(struct arena *arena, const struct dns_record *record);

/* --- access.c: access(5) --- */

/* Looks up in a table of this kind, acts on what it says. */
enum verdict access_domain(struct inquiry *q, const struct rule *rule, struct slice domain, const struct about *about);
enum verdict access_address(struct inquiry *q, const struct rule *rule, struct slice address, const struct about *about);
/* What an access table or a policy service says; `from` for the log. */
enum verdict access_result(struct inquiry *q, struct slice value, const char *from, const struct about *about);

/* --- what rules do --- */

enum verdict rule_permit(struct inquiry *q, const struct rule *rule);
enum verdict rule_reject(struct inquiry *q, const struct rule *rule);
enum verdict rule_defer(struct inquiry *q, const struct rule *rule);
enum verdict rule_defer_if(struct inquiry *q, const struct rule *rule);
enum verdict rule_sleep(struct inquiry *q, const struct rule *rule);
enum verdict rule_class(struct inquiry *q, const struct rule *rule);
enum verdict rule_pipelining(struct inquiry *q, const struct rule *rule);
enum verdict rule_multi_recipient_bounce(struct inquiry *q, const struct rule *rule);
enum verdict rule_plaintext(struct inquiry *q, const struct rule *rule);

enum verdict rule_mynetworks(struct inquiry *q, const struct rule *rule);
enum verdict rule_address_map(struct inquiry *q, const struct rule *rule);
enum verdict rule_inet_interfaces(struct inquiry *q, const struct rule *rule);
enum verdict rule_logged_in(struct inquiry *q, const struct rule *rule);
enum verdict rule_client_certificate(struct inquiry *q, const struct rule *rule);
enum verdict rule_unknown_client(struct inquiry *q, const struct rule *rule);
enum verdict rule_helo_form(struct inquiry *q, const struct rule *rule);
enum verdict rule_unknown_helo(struct inquiry *q, const struct rule *rule);

enum verdict rule_non_fqdn(struct inquiry *q, const struct rule *rule);
enum verdict rule_unknown_domain(struct inquiry *q, const struct rule *rule);
enum verdict rule_unlisted(struct inquiry *q, const struct rule *rule);
enum verdict rule_unverified(struct inquiry *q, const struct rule *rule);
enum verdict rule_login_mismatch(struct inquiry *q, const struct rule *rule);
enum verdict rule_auth_destination(struct inquiry *q, const struct rule *rule);
enum verdict rule_unauth_destination(struct inquiry *q, const struct rule *rule);
enum verdict rule_mx_backup(struct inquiry *q, const struct rule *rule);

enum verdict rule_access(struct inquiry *q, const struct rule *rule);
enum verdict rule_certificate_access(struct inquiry *q, const struct rule *rule);
enum verdict rule_server_access(struct inquiry *q, const struct rule *rule);

enum verdict rule_dnsbl(struct inquiry *q, const struct rule *rule);
enum verdict rule_dnswl(struct inquiry *q, const struct rule *rule);
/* "zone" or "zone=d.d.d.[a;b..c]".  False with ERR_SYNTAX. */
bool dnsbl_parse(struct slice text, struct arena *arena, struct dnsbl_zone *zone, struct err *err) MUST_USE;
/* "2.0.0.127" of 127.0.0.2, and 32 nibbles of IPv6; empty when it is no address. */
struct slice dnsbl_reversed(struct arena *arena, const char *address);
bool dnsbl_filter_matches(const struct dnsbl_zone *zone, const unsigned char octets[4]);

void policy_service_close(struct policy_service *service);
enum verdict rule_spf_fail(struct inquiry *q, const struct rule *rule);
enum verdict rule_dmarc_fail(struct inquiry *q, const struct rule *rule);
enum verdict rule_dkim_domain(struct inquiry *q, const struct rule *rule);

enum verdict rule_policy_service(struct inquiry *q, const struct rule *rule);
bool policy_service_parse(struct policy *policy, struct slice text, struct policy_service *service,
			  struct err *err) MUST_USE;

/* Choices of rule_type's `detail`. */
enum { LOGIN_KNOWN = 1, LOGIN_OWNED = 2, LOGIN_NEEDED = 4 };
enum { HELO_VALID, HELO_FQDN };
enum { NAME_CONFIRMED, NAME_REVERSE, NAME_FORWARD };
enum { CERTIFICATE_LISTED, CERTIFICATE_TRUSTED };
enum { DEFER_IF_PERMIT, DEFER_IF_REJECT };

#endif
