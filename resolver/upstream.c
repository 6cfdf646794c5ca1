/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/str.h"
#include "common/net/stream.h"
#include "resolver/upstream.h"
#include "common/proto/dns_wire.h"

#define SERVERS_MAX 8
#define ROUNDS      2
#define UDP_TIMEOUT 2.0
#define TCP_TIMEOUT 4.0

struct server {
	struct sockaddr_storage address;
	socklen_t len;
	bool trusted;  /* its AD bit counts */
};

struct upstream {
	struct server servers[SERVERS_MAX];
	size_t count;
	size_t good;   /* the one that answered last: asked first */
};

/* --- which servers --- */

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* "1.2.3.4", "1.2.3.4:5353", "::1", "[::1]:5353". */
static bool parse_server(struct slice text, struct server *s)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&s->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&s->address;
	uint64_t port = 53;
	char host[64];
	ptrdiff_t colon = slice_rfind(text, ':'), close = slice_rfind(text, ']');
	struct slice name = text;

	if (text.len > 0 && text.ptr[0] == '[' && close > 0)
		name = slice_sub(text, 1, (size_t)close - 1);
	else if (colon >= 0 && slice_find(text, ':') == colon)
		name = slice_sub(text, 0, (size_t)colon);
	if (colon > close && name.len < text.len &&
	    (!slice_to_u64(slice_sub(text, (size_t)colon + 1, text.len), &port) || port == 0 || port > 65535))
		return false;
	snprintf(host, sizeof(host), "%.*s", SLICE_FMT(slice_sub(name, 0, sizeof(host) - 1)));
	*s = (struct server){ 0 };
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		s->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		s->len = sizeof(*v6);
	} else {
		return false;
	}
	s->trusted = is_loopback(&s->address);
	return true;
}

static void read_resolv_conf(struct upstream *u)
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char line[512];
	bool trust = false;

	while (f && fgets(line, sizeof(line), f)) {
		struct slice rest = slice_of(line), word;

		if (!slice_word(&rest, " \t\r\n", &word))
			continue;
		if (slice_eq(word, SLICE("nameserver")) && slice_word(&rest, " \t\r\n", &word) &&
		    u->count < SERVERS_MAX && parse_server(word, &u->servers[u->count]))
			u->count++;
		while (slice_eq(word, SLICE("options")) || slice_eq(word, SLICE("trust-ad"))) {
			trust |= slice_eq(word, SLICE("trust-ad"));
			if (!slice_word(&rest, " \t\r\n", &word))
				break;
		}
	}
	if (f)
		fclose(f);
	for (size_t i = 0; trust && i < u->count; i++)
		u->servers[i].trusted = true;
}

struct upstream *upstream_create(const char *nameservers, struct err *err)
{
	struct upstream *u = mem_alloc(sizeof(*u));
	struct slice rest = slice_of(nameservers), word;

	while (slice_word(&rest, ", \t\r\n", &word)) {
		if (u->count == SERVERS_MAX || !parse_server(word, &u->servers[u->count])) {
			err_set(err, ERR_SYNTAX, "resolver_nameservers: \"%.*s\": expected ADDRESS[:PORT], %d at most",
				SLICE_FMT(word), SERVERS_MAX);
			free(u);
			return NULL;
		}
		u->count++;
	}
	if (u->count == 0)
		read_resolv_conf(u);
	if (u->count == 0 && parse_server(SLICE("127.0.0.1"), &u->servers[0]))
		u->count = 1;
	return u;
}

/* --- asking one --- */

struct question {
	struct slice name;
	enum dns_type type;
	struct arena *arena;
	struct dns_answer *answer;
	uint32_t *ttl;
};

static uint16_t random_id(void)
{
	uint16_t id = 0;

	while (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		;
	return id;
}

/* A socket for this query alone: the kernel picks a random port, and connect keeps other senders out. */
static int open_socket(const struct server *s, int type)
{
	int fd = socket(s->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&s->address, s->len) != 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static enum wire_result ask_udp(const struct server *s, struct question *q)
{
	uint8_t query[WIRE_QUERY_MAX], buf[4096];
	uint16_t id = random_id();
	size_t len = wire_query(id, q->name, q->type, query);
	int fd = open_socket(s, SOCK_DGRAM);
	double deadline = loop_now() + UDP_TIMEOUT;
	enum wire_result result = WIRE_NOT_OURS;

	if (fd < 0)
		return WIRE_SERVER;
	if (send(fd, query, len, MSG_NOSIGNAL) != (ssize_t)len)
		result = WIRE_SERVER;
	while (result == WIRE_NOT_OURS) {
		if (task_wait_fd(fd, TASK_READ, deadline) != TASK_READY) {
			result = WIRE_SERVER;
			break;
		}
		ssize_t got = recv(fd, buf, sizeof(buf), 0);

		if (got < 0 && errno != EAGAIN && errno != EINTR)
			result = WIRE_SERVER;
		else if (got > 0)
			result = wire_answer(slice_make(buf, (size_t)got), id, q->name, q->type, s->trusted,
					     q->arena, q->answer, q->ttl);
	}
	close(fd);
	return result;
}

/* Exactly `len` bytes of the stream. */
static bool read_exactly(struct stream *stream, size_t len, struct slice *data)
{
	enum stream_status status = stream_peek(stream, data);

	while (status == STREAM_OK && data->len < len)
		status = stream_more(stream, 70000, data);
	*data = slice_sub(*data, 0, len);
	return status == STREAM_OK;
}

static enum wire_result talk_tcp(struct stream *stream, const struct server *s, struct question *q)
{
	uint8_t query[WIRE_QUERY_MAX + 2];
	uint16_t id = random_id();
	size_t len = wire_query(id, q->name, q->type, query + 2);
	struct slice data;
	struct cursor c;

	query[0] = (uint8_t)(len >> 8);
	query[1] = (uint8_t)len;
	if (stream_write(stream, slice_make(query, len + 2)) != STREAM_OK || !read_exactly(stream, 2, &data))
		return WIRE_SERVER;
	c = cursor_make(data.ptr, data.len);
	len = cursor_u16_be(&c);
	stream_consume(stream, 2);
	if (!read_exactly(stream, len, &data))
		return WIRE_SERVER;
	return wire_answer(data, id, q->name, q->type, s->trusted, q->arena, q->answer, q->ttl);
}

static enum wire_result ask_tcp(const struct server *s, struct question *q)
{
	int fd = open_socket(s, SOCK_STREAM);
	enum wire_result result;

	if (fd < 0)
		return WIRE_SERVER;
	if (task_wait_fd(fd, TASK_WRITE, loop_now() + TCP_TIMEOUT) != TASK_READY) {
		close(fd);
		return WIRE_SERVER;
	}
	struct stream *stream = stream_of_fd(fd);

	stream_set_timeout(stream, TCP_TIMEOUT);
	result = talk_tcp(stream, s, q);
	stream_free(&stream);
	return result == WIRE_OK ? WIRE_OK : WIRE_SERVER;
}

void upstream_ask(struct upstream *u, struct slice name, enum dns_type type, struct arena *arena,
		  struct dns_answer *answer, uint32_t *ttl)
{
	struct question q = { name, type, arena, answer, ttl };

	for (size_t i = 0; i < u->count * ROUNDS && !task_cancelled(); i++) {
		size_t which = (u->good + i) % u->count;
		enum wire_result result = ask_udp(&u->servers[which], &q);

		if (result == WIRE_TRUNCATED)
			result = ask_tcp(&u->servers[which], &q);
		if (result != WIRE_OK)
			continue;
		u->good = which;
		return;
	}
	*answer = (struct dns_answer){ .status = DNS_TEMPORARY };
	*ttl = 0;
}
