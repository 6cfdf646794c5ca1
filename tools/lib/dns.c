/* SPDX-License-Identifier: ISC */
#include "tools/lib/dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sysexits.h>

#include "common/proto/resolver_proto.h"
#include "tools/lib/connect.h"

#define ANSWER_SECONDS  60
#define COUNTER_SECONDS 5

struct request {
	struct slice name;
	enum dns_type type;
	int status;
};

/* Quoted, other bytes than printable ASCII as \ddd. */
static void print_text(struct slice text)
{
	putchar('"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < ' ' || c > '~')
			printf("\\%03u", c);
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_data(const struct dns_record *r)
{
	char address[INET6_ADDRSTRLEN] = "?";

	switch (r->type) {
	case DNS_A:
	case DNS_AAAA:
		inet_ntop(r->type == DNS_A ? AF_INET : AF_INET6, r->data.ptr, address, sizeof(address));
		fputs(address, stdout);
		break;
	case DNS_MX:
		printf("%u %.*s", r->preference, SLICE_FMT(r->name));
		break;
	case DNS_PTR:
	case DNS_NS:
	case DNS_CNAME:
		printf("%.*s", SLICE_FMT(r->name));
		break;
	case DNS_TXT:
		print_text(r->data);
		break;
	case DNS_TLSA:
		for (size_t i = 0; i < r->data.len; i++)
			printf(i < 3 ? "%u " : "%02x", (unsigned char)r->data.ptr[i]);
		break;
	}
}

static void print_answer(const struct request *r, const struct dns_answer *answer)
{
	if (answer->status != DNS_OK)
		fprintf(stderr, "postrider: %.*s %s: %s\n", SLICE_FMT(r->name), dns_type_text(r->type),
			dns_status_text(answer->status));
	for (size_t i = 0; i < answer->count; i++) {
		printf("%.*s %u %s ", SLICE_FMT(answer->canonical), answer->records[i].ttl, dns_type_text(r->type));
		print_data(&answer->records[i]);
		printf("%s%s\n", answer->secure ? " ; secure" : "", answer->stale ? " ; stale" : "");
	}
}

static int exit_status(enum dns_status status)
{
	return status == DNS_OK ? 0 : status == DNS_TEMPORARY || status == DNS_BOGUS ? EX_TEMPFAIL : 1;
}

/* True when the name is an address, which was asked for by PTR then. */
static bool ask_address(struct ipc_client *client, const struct request *r, struct arena *arena,
			struct dns_answer *answer)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const struct sockaddr *address = (const struct sockaddr *)&v6;

	if (inet_pton(AF_INET, r->name.ptr, &v4.sin_addr) == 1)
		address = (const struct sockaddr *)&v4;
	else if (inet_pton(AF_INET6, r->name.ptr, &v6.sin6_addr) != 1)
		return false;
	resolver_query_ptr(client, address, loop_now() + ANSWER_SECONDS, arena, answer);
	return true;
}

static void ask(void *arg)
{
	struct request *r = arg;
	struct ipc_client *client = ipc_client_create("resolver", &resolver_protocol, tool_connect);
	struct arena *arena = arena_create(0);
	struct dns_answer answer = { .status = DNS_TEMPORARY };
	struct err err;

	if (!ipc_client_connect(client, loop_now() + ANSWER_SECONDS, &err))
		fprintf(stderr, "postrider: %s\n", err.text);
	else if (r->type != DNS_PTR || !ask_address(client, r, arena, &answer))
		resolver_query(client, r->name, r->type, loop_now() + ANSWER_SECONDS, arena, &answer);
	print_answer(r, &answer);
	r->status = exit_status(answer.status);
	arena_free(&arena);
	ipc_client_free(&client);
}

int dns_command(const struct config *config, int argc, char **argv)
{
	struct request r = { .type = DNS_A };
	uint8_t address[sizeof(struct in6_addr)];

	if (argc < 1 || argc > 2 || (argc == 2 && !dns_type_parse(slice_of(argv[1]), &r.type))) {
		fputs("usage: postrider dns name|address [A|AAAA|MX|TXT|PTR|CNAME|TLSA]\n", stderr);
		return EX_USAGE;
	}
	if (argc == 1 && (inet_pton(AF_INET, argv[0], address) == 1 || inet_pton(AF_INET6, argv[0], address) == 1))
		r.type = DNS_PTR;
	r.name = slice_of(argv[0]);
	tool_use_config(config);
	tool_run(ask, &r);
	return r.status;
}

static void show(void *arg)
{
	struct ipc_client *client = ipc_client_create("resolver", &resolver_protocol, tool_connect);
	struct resolver_counters c;
	struct err err;

	if (resolver_ask_counters(client, loop_now() + COUNTER_SECONDS, &c, &err))
		printf("resolver: %llu questions, %llu answered from the cache, %llu sent to servers, %llu served stale, "
		       "%llu without an answer; cache holds %llu answers in %llu KiB; %llu under way\n",
		       (unsigned long long)c.questions, (unsigned long long)c.hits, (unsigned long long)c.upstream,
		       (unsigned long long)c.stale, (unsigned long long)c.temporary, (unsigned long long)c.entries,
		       (unsigned long long)c.bytes / 1024, (unsigned long long)c.in_flight);
	ipc_client_free(&client);
}

void dns_show_counters(const struct config *config)
{
	tool_use_config(config);
	tool_run(show, NULL);
}
