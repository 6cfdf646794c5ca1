/* SPDX-License-Identifier: ISC */
/*
 * policy:inet:host:port, policy:unix:path: a policy service (Postfix's SMTPD_POLICY_README) as a table.  The key
 * is the attributes, "name=value" lines; the value is the action.  smtpd asks through proxymap: policy/service.c.
 * A relative path of a socket is one in queue_directory.
 */
#include <stdlib.h>

#include "tables/servers/servers.h"
#include "tables/servers/small_protocol.h"
#include "tables/servers/socket.h"

#define LINE_MAX_LEN 16384
#define LINES_MAX    64
#define PATIENCE     40.0              /* below what a pool grants */

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	return server_socket_connect(host, server_clock() + server_time_left(deadline, SMALL_TIMEOUT), err);
}

/* Lines up to an empty one; the action is in one of them. */
static bool take_answer(void *connection, struct small_question *q, double until, struct err *err)
{
	struct slice line, value, name;

	for (unsigned i = 0; i < LINES_MAX; i++) {
		if (!server_socket_take_until(connection, '\n', LINE_MAX_LEN, &line, until, err))
			return false;
		value = line = slice_trim(line);
		if (line.len == 0)
			return true; /* without an action: nothing was found */
		if (!q->found && slice_cut(&value, '=', &name) && slice_eq_nocase(slice_trim(name), SLICE("action"))) {
			str_append(&q->value, slice_trim(value));
			q->found = true;
		}
	}
	return err_set(err, ERR_CLOSED, "more than %d lines in the answer", LINES_MAX);
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline, struct err *err)
{
	struct small_question *q = question;
	double until = server_clock() + server_time_left(deadline, PATIENCE);
	struct str text = { 0 };
	bool ok;

	q->found = false;
	str_clear(&q->value);
	str_append(&text, q->key);
	if (text.len == 0 || text.data[text.len - 1] != '\n')
		str_append_byte(&text, '\n');
	str_append_byte(&text, '\n');
	ok = server_socket_send(connection, str_slice(&text), until, err) && take_answer(connection, q, until, err);
	str_free(&text);
	return ok ? SERVER_DONE : SERVER_LOST;
}

static const struct server_kind kind = {
	.connect = connect_host, .disconnect = server_socket_close, .ask = ask, .no_rest = true, .lookups = POLICY_LOOKUPS,
};

static void *open_table(const char *name, struct err *err)
{
	const struct config *config = tables_config();
	struct str server = { 0 };
	struct small_table *t;

	if (config && strncmp(name, "unix:", 5) == 0 && name[5] != '/')
		str_printf(&server, "unix:%s/%s", config_text(config, "queue_directory"), name + 5);
	else
		str_append_text(&server, name);
	t = small_table_open(&kind, str_cstr(&server), NULL, err);
	str_free(&server);
	return t;
}

const struct table_type table_policy = {
	.name = "policy", .folds = false, .whole_keys = true, .outside = true, .open = open_table,
	.close = small_table_close, .lookup = small_table_lookup,
};
