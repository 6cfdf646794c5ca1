/* SPDX-License-Identifier: ISC */
#include "tools/lib/doctor_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/proto/dns_wire.h"
#include "tools/lib/connect.h"

#define TRIES           3
#define TRY_SECONDS     3.0
#define ANSWER_SECONDS  20.0
#define CONNECT_SECONDS 3.0
#define PACKET_MAX      65535

static socklen_t address_size(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static bool parse_server(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	struct slice s = slice_of(text);
	ptrdiff_t colon = slice_rfind(s, ':');
	bool bracket = s.len > 0 && s.ptr[0] == '[';
	bool has_port =
	    colon > 0 && (bracket ? s.ptr[colon - 1] == ']' : slice_find(s, ':') == colon);
	struct slice host = has_port ? slice_sub(s, 0, (size_t)colon) : s;
	char name[64];
	uint64_t port = 53;

	if (has_port &&
	    (!slice_to_u64(slice_sub(s, (size_t)colon + 1, s.len), &port) || port > 65535))
		return false;
	if (bracket && host.len > 1 && host.ptr[host.len - 1] == ']')
		host = slice_sub(host, 1, host.len - 2);
	*address = (struct sockaddr_storage){0};
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(host));
	if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, name, &v6->sin6_addr) == 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool wait_for(int fd, short events, double deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	double left = deadline - now();
	int ready = left <= 0 ? 0 : poll(&p, 1, (int)(left * 1000) + 1);

	return ready > 0 || (ready < 0 && errno == EINTR && wait_for(fd, events, deadline));
}

struct question {
	struct slice name;
	enum dns_type type;
	uint16_t id;
	uint8_t packet[WIRE_QUERY_MAX];
	size_t len;
	struct arena *arena;
	struct dns_answer *answer;
};

static enum wire_result take(const struct question *q, const uint8_t *packet, size_t len)
{
	uint32_t ttl;

	return wire_answer(slice_make(packet, len), q->id, q->name, q->type, false, q->arena,
			   q->answer, &ttl);
}

static bool send_all(int fd, const uint8_t *data, size_t len, double deadline)
{
	while (len > 0) {
		ssize_t done =
		    wait_for(fd, POLLOUT, deadline) ? send(fd, data, len, MSG_NOSIGNAL) : -1;

		if (done <= 0)
			return false;
		data += done;
		len -= (size_t)done;
	}
	return true;
}

static bool receive_all(int fd, uint8_t *data, size_t len, double deadline)
{
	while (len > 0) {
		ssize_t done = wait_for(fd, POLLIN, deadline) ? recv(fd, data, len, 0) : -1;

		if (done <= 0)
			return false;
		data += done;
		len -= (size_t)done;
	}
	return true;
}

static bool ask_tcp(const struct question *q, const struct sockaddr_storage *server,
		    double deadline)
{
	int fd = socket(server->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint8_t *packet = malloc(PACKET_MAX), head[2] = {(uint8_t)(q->len >> 8), (uint8_t)q->len};
	bool ok = false;
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd >= 0 && packet &&
	    (connect(fd, (const struct sockaddr *)server, address_size(server)) == 0 ||
	     errno == EINPROGRESS) &&
	    wait_for(fd, POLLOUT, deadline) &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0 &&
	    send_all(fd, head, 2, deadline) && send_all(fd, q->packet, q->len, deadline) &&
	    receive_all(fd, head, 2, deadline)) {
		size_t size = (size_t)head[0] << 8 | head[1];

		ok = receive_all(fd, packet, size, deadline) && take(q, packet, size) == WIRE_OK;
	}
	free(packet);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool ask_udp(const struct question *q, const struct sockaddr_storage *server,
		    double deadline)
{
	int fd = socket(server->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enum wire_result result = WIRE_NOT_OURS;
	uint8_t packet[4096];

	if (fd >= 0 && connect(fd, (const struct sockaddr *)server, address_size(server)) == 0 &&
	    send(fd, q->packet, q->len, 0) == (ssize_t)q->len)
		while (result == WIRE_NOT_OURS && wait_for(fd, POLLIN, deadline)) {
			ssize_t len = recv(fd, packet, sizeof(packet), 0);

			if (len < 0)
				break;
			result = take(q, packet, (size_t)len);
		}
	if (fd >= 0)
		close(fd);
	return result == WIRE_TRUNCATED ? ask_tcp(q, server, deadline) : result == WIRE_OK;
}

static void ask_servers(const struct doctor_dns *d, struct question *q)
{
	if (getrandom(&q->id, sizeof(q->id), 0) != sizeof(q->id))
		q->id = (uint16_t)getpid();
	q->len = wire_query(q->id, q->name, q->type, q->packet);
	if (q->len == 0) {
		q->answer->status = DNS_INVALID;
		return;
	}
	for (int i = 0; i < TRIES; i++)
		for (size_t at = 0; at < d->server_count; at++)
			if (ask_udp(q, &d->servers[at], now() + TRY_SECONDS) &&
			    q->answer->status != DNS_TEMPORARY)
				return;
			else if (q->answer->status == DNS_BOGUS)
				return;
	*q->answer = (struct dns_answer){.status = DNS_TEMPORARY};
}

static void query(void *context, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer)
{
	struct doctor_dns *d = context;

	d->questions++;
	if (d->progress)
		fprintf(d->progress, "\r\033[Klooking up %s of %.*s", dns_type_text(type),
			SLICE_FMT(slice_sub(name, 0, 60)));
	if (d->resolver) {
		resolver_query(d->resolver, name, type, loop_now() + ANSWER_SECONDS, arena, answer);
	} else {
		struct question q = {.name = name, .type = type, .arena = arena, .answer = answer};

		*answer = (struct dns_answer){.status = DNS_TEMPORARY};
		ask_servers(d, &q);
	}
	if (d->progress)
		fputs("\r\033[K", d->progress);
}

static void use_resolv_conf(struct doctor_dns *d)
{
	struct __res_state state = {0};

	if (res_ninit(&state) != 0)
		return;
	for (int i = 0; i < state.nscount && d->server_count < DOCTOR_SERVERS; i++) {
		if (state.nsaddr_list[i].sin_family == AF_INET)
			memcpy(&d->servers[d->server_count++], &state.nsaddr_list[i],
			       sizeof(struct sockaddr_in));
		else if (state._u._ext.nsaddrs[i])
			memcpy(&d->servers[d->server_count++], state._u._ext.nsaddrs[i],
			       sizeof(struct sockaddr_in6));
	}
	res_nclose(&state);
}

bool doctor_dns_open(struct doctor_dns *d, const char *server, struct err *err)
{
	struct err unused;

	d->dns = (struct authn_dns){query, d};
	if (server) {
		d->server_count = 1;
		return parse_server(server, &d->servers[0]) ||
		       err_set(err, ERR_SYNTAX, "%s is not ADDRESS:PORT of a name server", server);
	}
	d->resolver = ipc_client_create("resolver", &resolver_protocol, tool_connect);
	if (ipc_client_connect(d->resolver, loop_now() + CONNECT_SECONDS, &unused))
		return true;
	ipc_client_free(&d->resolver);
	use_resolv_conf(d);
	return d->server_count > 0 ||
	       err_set(err, ERR_TEMPORARY, "resolv.conf names no name server");
}

void doctor_dns_close(struct doctor_dns *d)
{
	ipc_client_free(&d->resolver);
}
