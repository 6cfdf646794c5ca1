/* SPDX-License-Identifier: ISC */
#include "smtpd/client_limits.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/task.h"

#define PATIENCE 10.0 /* seconds for an answer of anvil */

bool client_limits_load(struct client_limits *limits, const struct config *c, const char *service, struct err *err)
{
	*limits = (struct client_limits){
		.connections = (uint64_t)config_int(c, "smtpd_client_connection_count_limit"),
		.rates = { [EVENT_CONNECT] = (uint64_t)config_int(c, "smtpd_client_connection_rate_limit"),
			   [EVENT_MESSAGE] = (uint64_t)config_int(c, "smtpd_client_message_rate_limit"),
			   [EVENT_RECIPIENT] = (uint64_t)config_int(c, "smtpd_client_recipient_rate_limit"),
			   [EVENT_AUTH] = (uint64_t)config_int(c, "smtpd_client_auth_rate_limit"),
			   [EVENT_NEW_TLS] = (uint64_t)config_int(c, "smtpd_client_new_tls_session_rate_limit") },
		.ipv4_bits = (unsigned)config_int(c, "smtpd_client_ipv4_prefix_length"),
		.ipv6_bits = (unsigned)config_int(c, "smtpd_client_ipv6_prefix_length"),
		.service = service,
		.myhostname = config_text(c, "myhostname"),
	};
	limits->exceptions = match_list_open(config_text(c, "smtpd_client_event_limit_exceptions"), MATCH_NETWORK, err);
	return limits->exceptions || err_prefix(err, "smtpd_client_event_limit_exceptions");
}

void client_limits_connect(struct client_limits *limits, ipc_connect_fn *connect)
{
	bool any = limits->connections > 0;

	for (size_t i = 0; i < EVENT_COUNT; i++)
		any = any || limits->rates[i] > 0;
	if (any)
		limits->anvil = ipc_client_create("anvil", &anvil_protocol, connect);
}

static void keep_bits(unsigned char *bytes, size_t len, unsigned bits)
{
	for (size_t i = 0; i < len; i++) {
		unsigned kept = bits > i * 8 ? bits - (unsigned)i * 8 : 0;

		if (kept < 8)
			bytes[i] &= (unsigned char)(0xff00 >> kept);
	}
}

void client_network(const char *address, unsigned ipv4_bits, unsigned ipv6_bits, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET ? ipv4_bits : ipv6_bits;
	size_t len = family == AF_INET ? 4 : 16;

	(void)snprintf(out, size, "%s", address);
	if (bits >= len * 8 || inet_pton(family, address, bytes) != 1)
		return;
	keep_bits(bytes, len, bits);
	if (inet_ntop(family, bytes, text, sizeof(text)))
		(void)snprintf(out, size, "%s/%u", text, bits);
}

/* --- the limits --- */

static const struct {
	enum anvil_event event;
	const char *exceeded;              /* in the log */
	int code;
	const char *dsn;
	bool names_host;
	const char *text;                  /* to the client */
} events[EVENT_COUNT] = {
	[EVENT_CONNECT] = { ANVIL_CONNECT, "Connection rate", 421, "4.7.0", true, "too many connections" },
	[EVENT_MESSAGE] = { ANVIL_MESSAGE, "Message delivery request rate", 450, "4.7.1", false, "too much mail" },
	[EVENT_RECIPIENT] = { ANVIL_RECIPIENT, "Recipient address rate", 450, "4.7.1", false, "too many recipients" },
	[EVENT_AUTH] = { ANVIL_AUTH, "AUTH command rate", 450, "4.7.1", false, "too many AUTH commands" },
	[EVENT_NEW_TLS] = { ANVIL_NEW_TLS, "New TLS session rate", 421, "4.7.0", true, "too many new TLS sessions" },
};

static bool is_counted(const struct client_limits *limits, enum smtpd_event event)
{
	return limits->rates[event] > 0 || (event == EVENT_CONNECT && limits->connections > 0);
}

static bool is_exception(const struct client_limits *limits, const struct policy_client *client)
{
	struct err err;
	enum table_result found = match_list_test_client(limits->exceptions, slice_of(client->name), slice_of(client->address),
							 &err);

	if (found == TABLE_ERROR)
		log_warning("smtpd_client_event_limit_exceptions: %s", err.text);
	return found != TABLE_NOT_FOUND;
}

static void refuse(const struct client_limits *limits, enum smtpd_event event, const struct policy_client *client,
		   struct smtp_reply *reply)
{
	reply_set(reply, events[event].code, events[event].dsn, "%s%sError: %s from %s", events[event].names_host ? limits->myhostname : "",
		  events[event].names_host ? " " : "", events[event].text, client->address);
}

static bool within(const struct client_limits *limits, enum smtpd_event event, const struct policy_client *client,
		   const struct anvil_counts *counts)
{
	bool rate = limits->rates[event] > 0 && counts->rate > limits->rates[event];
	bool count = event == EVENT_CONNECT && limits->connections > 0 && counts->connections > limits->connections;

	if (count || rate)
		log_warning("%s limit exceeded: %llu from %s[%s] for service %s", count ? "Connection concurrency" : events[event].exceeded,
			    (unsigned long long)(count ? counts->connections : counts->rate), client->name, client->address,
			    limits->service);
	return !count && !rate;
}

bool client_count(struct client_count *count, enum smtpd_event event, const struct policy_client *client, struct smtp_reply *reply)
{
	const struct client_limits *limits = count->limits;
	struct anvil_who who = { .service = slice_of(limits->service) };
	struct anvil_counts counts;
	char network[sizeof(count->client)];
	struct err err;

	if (event == EVENT_CONNECT)
		client_count_end(count);
	if (!limits->anvil || !is_counted(limits, event) || is_exception(limits, client))
		return true;
	client_network(client->address, limits->ipv4_bits, limits->ipv6_bits, network, sizeof(network));
	who.client = slice_of(network);
	if (!anvil_count(limits->anvil, &who, events[event].event, loop_now() + PATIENCE, &counts, &err)) {
		log_warning("limits of clients are not kept now: %s", err.text);
		/* It will be counted when anvil gets to it. */
		if (event == EVENT_CONNECT && err.code == ERR_TIMEOUT)
			anvil_leave(limits->anvil, &who);
		return true;
	}
	if (event == EVENT_CONNECT)
		(void)snprintf(count->client, sizeof(count->client), "%s", network);
	if (within(limits, event, client, &counts))
		return true;
	refuse(limits, event, client, reply);
	return false;
}

void client_count_end(struct client_count *count)
{
	struct anvil_who who = { slice_of(count->limits->service), slice_of(count->client) };

	if (count->client[0])
		anvil_leave(count->limits->anvil, &who);
	count->client[0] = '\0';
}
