/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "common/proto/resolver_proto.h"

#define RECORDS_MAX 1000

const struct ipc_protocol resolver_protocol = { "resolver", 1 };

enum field {
	FIELD_NAME = 1, FIELD_TYPE, FIELD_STATUS, FIELD_SECURE, FIELD_STALE, FIELD_CANONICAL,
	/* A record is these five, in this order. */
	FIELD_RECORD_TYPE, FIELD_TTL, FIELD_PREFERENCE, FIELD_RECORD_NAME, FIELD_DATA,
	FIELD_QUESTIONS, FIELD_HITS, FIELD_UPSTREAM, FIELD_STALE_COUNT, FIELD_TEMPORARY, FIELD_ENTRIES, FIELD_BYTES,
	FIELD_IN_FLIGHT
};

const char *dns_status_text(enum dns_status status)
{
	static const char *const text[] = {
		[DNS_OK] = "ok", [DNS_NXDOMAIN] = "Host not found", [DNS_NODATA] = "no such record",
		[DNS_TEMPORARY] = "Host not found, try again", [DNS_BOGUS] = "answer fails DNSSEC validation",
		[DNS_INVALID] = "malformed name",
	};

	return status <= DNS_INVALID ? text[status] : "unknown status";
}

const char *dns_type_text(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_NS:
		return "NS";
	case DNS_CNAME:
		return "CNAME";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_TLSA:
		return "TLSA";
	}
	return "?";
}

bool dns_type_parse(struct slice text, enum dns_type *type)
{
	static const enum dns_type types[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		*type = types[i];
		if (slice_eq_nocase(text, slice_of(dns_type_text(*type))))
			return true;
	}
	return false;
}

bool resolver_put_answer(struct ipc_out *m, uint32_t request, const struct dns_answer *answer)
{
	ipc_out_start(m, RESOLVER_ANSWER, request);
	ipc_put_u64(m, FIELD_STATUS, answer->status);
	ipc_put_u64(m, FIELD_SECURE, answer->secure);
	ipc_put_u64(m, FIELD_STALE, answer->stale);
	ipc_put_bytes(m, FIELD_CANONICAL, answer->canonical);
	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *r = &answer->records[i];

		/* What does not fit is left out: half an answer of this size is enough to deliver by. */
		if (ipc_out_room(m) < r->name.len + r->data.len + 64)
			break;
		ipc_put_u64(m, FIELD_RECORD_TYPE, r->type);
		ipc_put_u64(m, FIELD_TTL, r->ttl);
		ipc_put_u64(m, FIELD_PREFERENCE, r->preference);
		ipc_put_bytes(m, FIELD_RECORD_NAME, r->name);
		ipc_put_bytes(m, FIELD_DATA, r->data);
	}
	return !m->failed;
}

static bool take_record(const struct ipc_in *m, size_t *pos, struct arena *arena, struct dns_record *r)
{
	struct ipc_field f[4];

	for (size_t i = 0; i < 4; i++)
		if (!ipc_next(m, pos, &f[i]) || f[i].field != FIELD_TTL + i || f[i].kind != (i < 2 ? 'u' : 's'))
			return false;
	r->ttl = (uint32_t)f[0].number;
	r->preference = (uint16_t)f[1].number;
	r->name = arena_slice(arena, f[2].bytes);
	r->data = arena_slice(arena, f[3].bytes);
	if (r->type == DNS_A)
		return r->data.len == 4;
	return r->type != DNS_AAAA || r->data.len == 16;
}

bool resolver_get_answer(const struct ipc_in *m, struct arena *arena, struct dns_answer *answer, struct err *err)
{
	struct ipc_field f;
	struct slice canonical;
	uint64_t status, secure, stale;
	size_t pos = 0;

	*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	if (m->type != RESOLVER_ANSWER || !ipc_get_u64(m, FIELD_STATUS, &status) || status > DNS_INVALID ||
	    !ipc_get_u64(m, FIELD_SECURE, &secure) || !ipc_get_u64(m, FIELD_STALE, &stale) ||
	    !ipc_get_bytes(m, FIELD_CANONICAL, &canonical))
		return err_set(err, ERR_SYNTAX, "malformed answer from the resolver");
	answer->records = arena_alloc(arena, RECORDS_MAX * sizeof(*answer->records));
	while (ipc_next(m, &pos, &f)) {
		if (f.field != FIELD_RECORD_TYPE)
			continue;
		if (answer->count == RECORDS_MAX)
			return err_set(err, ERR_SYNTAX, "too many records from the resolver");
		struct dns_record *r = &answer->records[answer->count];

		r->type = (enum dns_type)f.number;
		if (!take_record(m, &pos, arena, r))
			return err_set(err, ERR_SYNTAX, "malformed record from the resolver");
		answer->count++;
	}
	answer->status = (enum dns_status)status;
	answer->secure = secure != 0;
	answer->stale = stale != 0;
	answer->canonical = arena_slice(arena, canonical);
	return true;
}

bool resolver_put_query(struct ipc_out *m, uint32_t request, struct slice name, enum dns_type type)
{
	ipc_out_start(m, RESOLVER_QUERY, request);
	ipc_put_bytes(m, FIELD_NAME, name);
	ipc_put_u64(m, FIELD_TYPE, type);
	return !m->failed;
}

bool resolver_get_query(const struct ipc_in *m, struct slice *name, enum dns_type *type)
{
	uint64_t number;

	if (!ipc_get_bytes(m, FIELD_NAME, name) || !ipc_get_u64(m, FIELD_TYPE, &number))
		return false;
	*type = (enum dns_type)number;
	return dns_type_text(*type)[0] != '?';
}

void resolver_query(struct ipc_client *client, struct slice name, enum dns_type type, double deadline,
		    struct arena *arena, struct dns_answer *answer)
{
	struct ipc_reply reply;
	struct ipc_out m;
	struct err err;

	*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	if (name.len == 0 || name.len > 254) {
		answer->status = DNS_INVALID;
		return;
	}
	if (!ipc_client_connect(client, deadline, &err) ||
	    !resolver_put_query(&m, ipc_client_request(client), name, type) ||
	    !ipc_client_call(client, &m, deadline, &reply, &err))
		return;
	if (!resolver_get_answer(&reply.in, arena, answer, &err))
		*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	ipc_reply_free(&reply);
}

void resolver_query_ptr(struct ipc_client *client, const struct sockaddr *address, double deadline,
			struct arena *arena, struct dns_answer *answer)
{
	char name[96] = "";
	size_t len = 0;

	if (address->sa_family == AF_INET) {
		const uint8_t *a = (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;

		snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1], a[0]);
	} else if (address->sa_family == AF_INET6) {
		const uint8_t *a = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;

		for (int i = 15; i >= 0; i--)
			len += (size_t)snprintf(name + len, sizeof(name) - len, "%x.%x.", a[i] & 15, a[i] >> 4);
		snprintf(name + len, sizeof(name) - len, "ip6.arpa");
	}
	resolver_query(client, slice_of(name), DNS_PTR, deadline, arena, answer);
}

bool resolver_put_counters(struct ipc_out *m, uint32_t request, const struct resolver_counters *counters)
{
	ipc_out_start(m, RESOLVER_COUNTERS, request);
	ipc_put_u64(m, FIELD_QUESTIONS, counters->questions);
	ipc_put_u64(m, FIELD_HITS, counters->hits);
	ipc_put_u64(m, FIELD_UPSTREAM, counters->upstream);
	ipc_put_u64(m, FIELD_STALE_COUNT, counters->stale);
	ipc_put_u64(m, FIELD_TEMPORARY, counters->temporary);
	ipc_put_u64(m, FIELD_ENTRIES, counters->entries);
	ipc_put_u64(m, FIELD_BYTES, counters->bytes);
	ipc_put_u64(m, FIELD_IN_FLIGHT, counters->in_flight);
	return !m->failed;
}

bool resolver_ask_counters(struct ipc_client *client, double deadline, struct resolver_counters *counters,
			   struct err *err)
{
	struct ipc_reply reply;
	struct ipc_out m;
	bool ok;

	if (!ipc_client_connect(client, deadline, err))
		return false;
	ipc_out_start(&m, RESOLVER_STATUS, ipc_client_request(client));
	if (!ipc_client_call(client, &m, deadline, &reply, err))
		return false;
	ok = reply.in.type == RESOLVER_COUNTERS && ipc_get_u64(&reply.in, FIELD_QUESTIONS, &counters->questions) &&
	     ipc_get_u64(&reply.in, FIELD_HITS, &counters->hits) &&
	     ipc_get_u64(&reply.in, FIELD_UPSTREAM, &counters->upstream) &&
	     ipc_get_u64(&reply.in, FIELD_STALE_COUNT, &counters->stale) &&
	     ipc_get_u64(&reply.in, FIELD_TEMPORARY, &counters->temporary) &&
	     ipc_get_u64(&reply.in, FIELD_ENTRIES, &counters->entries) &&
	     ipc_get_u64(&reply.in, FIELD_BYTES, &counters->bytes) &&
	     ipc_get_u64(&reply.in, FIELD_IN_FLIGHT, &counters->in_flight);
	ipc_reply_free(&reply);
	return ok || err_set(err, ERR_SYNTAX, "malformed counters from the resolver");
}
