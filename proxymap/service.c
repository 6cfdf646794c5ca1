/* SPDX-License-Identifier: ISC */
#include "proxymap/service.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "common/base/task.h"
#include "tables/servers/socket.h"

#define PATIENCE 30.0 /* seconds for a connection */

static const char *queue_directory;

struct attempt {
	struct server_host host;
	struct server_socket *socket;
	struct err err;
};

void service_open(const struct config *config)
{
	queue_directory = config_text(config, "queue_directory");
}

bool service_is_approved(struct approved *approved, struct slice server)
{
	struct str spec = { 0 };
	const struct approved_table *found;

	str_printf(&spec, "policy:%.*s", SLICE_FMT(server));
	found = approved_find(approved, str_slice(&spec));
	str_free(&spec);
	return found && found->service;
}

/* Blocks: in a worker thread. */
static void connect_to(void *arg)
{
	struct attempt *a = arg;

	a->socket = server_socket_connect(&a->host, server_clock() + PATIENCE, &a->err);
}

/* "host:port", "[::1]:port"; cut up in place. */
static bool split(char *text, struct server_host *host)
{
	char *colon = strrchr(text, ':');
	size_t len;

	if (!colon || colon == text || !colon[1])
		return false;
	*colon = '\0';
	host->name = text;
	host->port = colon + 1;
	len = strlen(text);
	if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
		text[len - 1] = '\0';
		host->name = text + 1;
	}
	return true;
}

int service_connect(struct slice server, struct err *err)
{
	struct slice rest = server, type;
	struct attempt a = { .host.text = "policy service" };
	struct str text = { 0 };
	bool ok;

	slice_cut(&rest, ':', &type);
	a.host.local = slice_eq(type, SLICE("unix"));
	if (a.host.local && rest.len > 0 && rest.ptr[0] != '/')
		str_printf(&text, "%s/", queue_directory);
	str_append(&text, rest);
	a.host.name = str_cstr(&text);
	ok = a.host.local || split(text.data, &a.host);
	if (!ok)
		err_set(&a.err, ERR_SYNTAX, "expected inet:host:port");
	else
		task_offload(connect_to, &a);
	str_free(&text);
	if (a.socket)
		return server_socket_release(&a.socket);
	*err = a.err;
	err_prefix(err, "server %.*s", SLICE_FMT(slice_sub(server, 0, 100)));
	return -1;
}
