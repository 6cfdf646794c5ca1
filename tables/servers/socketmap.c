/* SPDX-License-Identifier: ISC */
/*
 * socketmap:inet:host:port:map and socketmap:unix:path:map, as socketmap_table(5) describes them: Sendmail's protocol.
 * A question is a netstring "map key", an answer one of "OK value", "NOTFOUND ", "TEMP why", "TIMEOUT why", "PERM why".
 */
#include <stdlib.h>

#include "tables/servers/servers.h"
#include "tables/servers/small_protocol.h"
#include "tables/servers/socket.h"

#define ANSWER_MAX 100000

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	return server_socket_connect(host, server_clock() + server_time_left(deadline, SMALL_TIMEOUT), err);
}

static bool malformed(struct err *err)
{
	return err_set(err, ERR_CLOSED, "malformed answer");
}

static bool exchange(struct server_socket *s, struct slice question, struct slice *answer, double until, struct err *err)
{
	struct slice length, comma;
	struct str text = { 0 };
	uint64_t len;
	bool ok;

	str_printf(&text, "%zu:", question.len);
	str_append(&text, question);
	str_append_byte(&text, ',');
	ok = server_socket_send(s, str_slice(&text), until, err);
	str_free(&text);
	if (!ok || !server_socket_take_until(s, ':', 10, &length, until, err))
		return false;
	if (!slice_to_u64(length, &len) || len > ANSWER_MAX)
		return malformed(err);
	if (!server_socket_take(s, (size_t)len + 1, answer, until, err))
		return false;
	comma = slice_sub(*answer, (size_t)len, 1);
	*answer = slice_sub(*answer, 0, (size_t)len);
	return comma.ptr[0] == ',' || malformed(err);
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline, struct err *err)
{
	const struct small_table *t = settings;
	struct small_question *q = question;
	double until = server_clock() + server_time_left(deadline, SMALL_TIMEOUT);
	struct slice answer, status;
	struct str text = { 0 };
	bool ok;

	str_printf(&text, "%s ", t->map);
	str_append(&text, q->key);
	ok = exchange(connection, str_slice(&text), &answer, until, err);
	str_free(&text);
	if (!ok)
		return SERVER_LOST;
	q->found = false;
	str_clear(&q->value);
	slice_cut(&answer, ' ', &status);
	if (slice_eq(status, SLICE("NOTFOUND")))
		return SERVER_DONE;
	if (!slice_eq(status, SLICE("OK"))) {
		err_set(err, ERR_TEMPORARY, "%.*s: %.*s", SLICE_FMT(slice_sub(status, 0, 20)),
			SLICE_FMT(slice_sub(answer, 0, 100)));
		return SERVER_REFUSED;
	}
	q->found = true;
	str_append(&q->value, answer);
	return SERVER_DONE;
}

static const struct server_kind kind = { .connect = connect_host, .disconnect = server_socket_close, .ask = ask };

static void *open_table(const char *name, struct err *err)
{
	const char *colon = strrchr(name, ':');
	struct small_table *t;

	if (!colon || colon[1] == '\0' || !(strncmp(name, "inet:", 5) == 0 || strncmp(name, "unix:", 5) == 0) ||
	    colon - name <= 5) {
		err_set(err, ERR_SYNTAX, "expected socketmap:inet:host:port:map or socketmap:unix:path:map");
		return NULL;
	}
	char *server = mem_slicedup(slice_make(name, (size_t)(colon - name)));

	t = small_table_open(&kind, server, colon + 1, err);
	free(server);
	return t;
}

const struct table_type table_socketmap = {
	.name = "socketmap", .folds = true, .outside = true, .open = open_table, .close = small_table_close,
	.lookup = small_table_lookup,
};
