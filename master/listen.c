/* SPDX-License-Identifier: ISC */
#include "master/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"

#define BACKLOG 4096

static struct listener *pool;

/* --- the pool --- */

static struct listener *pool_find(const char *key)
{
	struct listener *l = pool;

	while (l && strcmp(l->key, key) != 0)
		l = l->next;
	return l;
}

static struct listener *pool_add(const char *key, int fd)
{
	struct listener *l = mem_alloc(sizeof(*l));

	*l = (struct listener){ .next = pool, .key = mem_strdup(key), .fd = fd, .wanted = true, .fresh = true };
	pool = l;
	return l;
}

static void pool_remove(bool (*goes)(const struct listener *))
{
	struct listener **link = &pool;

	while (*link) {
		struct listener *l = *link;

		if (!goes(l)) {
			link = &l->next;
			continue;
		}
		*link = l->next;
		close(l->fd);
		if (l->key[0] == '/')
			unlink(l->key);
		free(l->key);
		free(l);
	}
}

static bool is_fresh(const struct listener *l)
{
	return l->fresh;
}

static bool is_unwanted(const struct listener *l)
{
	return !l->wanted;
}

void listen_begin(void)
{
	for (struct listener *l = pool; l; l = l->next)
		l->wanted = l->fresh = false;
}

void listen_abandon(void)
{
	pool_remove(is_fresh);
	for (struct listener *l = pool; l; l = l->next)
		l->wanted = true;
}

void listen_commit(void)
{
	pool_remove(is_unwanted);
	for (struct listener *l = pool; l; l = l->next)
		l->fresh = false;
}

/* --- unix --- */

static int bind_unix(const char *path, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path) >= sizeof(addr.sun_path)) {
		err_set(err, ERR_PERMANENT, "%s: too long for the name of a socket (%zu bytes at most)", path,
			sizeof(addr.sun_path) - 1);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Nobody else can have it: we hold the instance's lock. */
	if (fd < 0 || (unlink(path) != 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || chmod(path, 0666) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		err_set_errno(err, ERR_PERMANENT, "listen on %s", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

struct listener *listen_unix(const char *path, struct err *err)
{
	struct listener *l = pool_find(path);
	int fd;

	if (l) {
		l->wanted = true;
		return l;
	}
	fd = bind_unix(path, err);
	return fd < 0 ? NULL : pool_add(path, fd);
}

/* --- inet --- */

bool listen_split(const char *name, char *host, size_t host_size, char *port, size_t port_size)
{
	struct slice left = slice_of(name), h = SLICE_NONE;

	if (slice_starts(left, SLICE("["))) {
		left = slice_sub(left, 1, left.len);
		if (!slice_cut(&left, ']', &h) || !slice_starts(left, SLICE(":")))
			return false;
		left = slice_sub(left, 1, left.len);
		/* Postfix takes [ipv6:…] too. */
		if (slice_starts_nocase(h, SLICE("ipv6:")))
			h = slice_sub(h, 5, h.len);
	} else {
		ptrdiff_t colon = slice_rfind(left, ':');

		if (colon >= 0) {
			h = slice_sub(left, 0, (size_t)colon);
			left = slice_sub(left, (size_t)colon + 1, left.len);
		}
	}
	if (left.len == 0 || left.len >= port_size || h.len >= host_size)
		return false;
	snprintf(host, host_size, "%.*s", SLICE_FMT(h));
	snprintf(port, port_size, "%.*s", SLICE_FMT(left));
	return true;
}

static bool family_wanted(const struct config *config, int family)
{
	struct slice list = slice_of(config_text(config, "inet_protocols")), word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq_nocase(word, SLICE("all")) ||
		    (family == AF_INET && slice_eq_nocase(word, SLICE("ipv4"))) ||
		    (family == AF_INET6 && slice_eq_nocase(word, SLICE("ipv6"))))
			return true;
	return false;
}

static int bind_inet(const struct addrinfo *ai)
{
	static const int on = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void key_of(const struct addrinfo *ai, char *key, size_t size)
{
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";

	(void)getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), port, sizeof(port),
			  NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(key, size, ai->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* A machine whose kernel has no such family, or no address of it, serves with the other one. */
static bool family_is_missing(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

static bool add_address(const struct addrinfo *ai, bool may_miss, struct listener **found, size_t *count,
			struct err *err)
{
	char key[NI_MAXHOST + NI_MAXSERV + 4];
	struct listener *l;
	int fd;

	key_of(ai, key, sizeof(key));
	l = pool_find(key);
	for (size_t i = 0; i < *count; i++)
		if (found[i] == l)
			return true;
	if (l && l->wanted)
		return err_set(err, ERR_PERMANENT, "%s: another service has the same address", key);
	if (!l) {
		fd = bind_inet(ai);
		if (fd < 0 && may_miss && family_is_missing(errno))
			return true;
		if (fd < 0)
			return err_set_errno(err, ERR_PERMANENT, "listen on %s", key);
		l = pool_add(key, fd);
	}
	if (*count == LISTEN_MAX)
		return err_set(err, ERR_LIMIT, "more than %d addresses to listen on", LISTEN_MAX);
	l->wanted = true;
	found[(*count)++] = l;
	return true;
}

/* host NULL: the wildcard addresses. */
static bool add_host(const struct config *config, const char *host, const char *port, struct listener **found,
		     size_t *count, struct err *err)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(host, port, &hints, &list);
	size_t families = 0;
	bool ok = true;

	if (rc != 0)
		return err_set(err, ERR_PERMANENT, "listen on %s port %s: %s", host ? host : "all interfaces", port,
			       gai_strerror(rc));
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
		families += family_wanted(config, ai->ai_family);
	for (const struct addrinfo *ai = list; ai && ok; ai = ai->ai_next)
		if (family_wanted(config, ai->ai_family))
			ok = add_address(ai, families > 1, found, count, err);
	freeaddrinfo(list);
	return ok;
}

static bool add_interfaces(const struct config *config, const char *port, struct listener **found, size_t *count,
			   struct err *err)
{
	struct slice list = slice_of(config_text(config, "inet_interfaces")), word;
	char host[NI_MAXHOST];

	while (slice_word(&list, ", \t\r\n", &word)) {
		bool ok;

		if (slice_starts(word, SLICE("[")) && word.len > 2)
			word = slice_sub(word, 1, word.len - 2);
		snprintf(host, sizeof(host), "%.*s", SLICE_FMT(word));
		if (slice_eq_nocase(word, SLICE("all")))
			ok = add_host(config, NULL, port, found, count, err);
		else if (slice_eq_nocase(word, SLICE("loopback-only")))
			ok = (!family_wanted(config, AF_INET) ||
			      add_host(config, "127.0.0.1", port, found, count, err)) &&
			     (!family_wanted(config, AF_INET6) ||
			      add_host(config, "::1", port, found, count, *count > 0 ? NULL : err) || *count > 0);
		else
			ok = add_host(config, host, port, found, count, err);
		if (!ok)
			return false;
	}
	return true;
}

bool listen_inet(const struct config *config, const char *name, struct listener **found, size_t *count,
		 struct err *err)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	size_t before = *count;

	if (!listen_split(name, host, sizeof(host), port, sizeof(port)))
		return err_set(err, ERR_SYNTAX, "%s: expected port, host:port or [address]:port", name);
	if (host[0] ? !add_host(config, host, port, found, count, err) :
		      !add_interfaces(config, port, found, count, err))
		return false;
	if (*count == before)
		return err_set(err, ERR_PERMANENT, "%s: no address within inet_interfaces and inet_protocols", name);
	return true;
}
