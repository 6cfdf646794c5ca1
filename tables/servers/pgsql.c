/* SPDX-License-Identifier: ISC */
/* pgsql:/file: PostgreSQL, as pgsql_table(5) describes it. */
#include <libpq-fe.h>
#include <stdlib.h>

#include "common/base/task.h"
#include "tables/servers/server_table.h"
#include "tables/servers/servers.h"

#define KEYWORDS 9

/* libpq's messages have lines; here they are one, without the last newline. */
static bool say(struct err *err, enum err_code code, const char *message)
{
	err_set(err, code, "%.*s", SLICE_FMT(slice_trim(slice_of(message))));
	for (char *at = err->text; (at = strchr(at, '\n')) != NULL;)
		*at = ' ';
	return false;
}

/* --- connecting --- */

/* A path is the socket's directory, or the socket itself: /run/postgresql/.s.PGSQL.5432. */
static void split_socket(const struct server_host *host, char *directory, size_t size, const char **port)
{
	const char *socket = strstr(host->name, "/.s.PGSQL.");
	struct slice path = slice_of(host->name);

	*port = host->port;
	if (host->local && socket) {
		path.len = (size_t)(socket - host->name);
		*port = socket + strlen("/.s.PGSQL.");
	}
	if (path.len >= size)
		path.len = size - 1;
	memcpy(directory, path.ptr, path.len);
	directory[path.len] = '\0';
}

static bool finish_connecting(PGconn *conn, double until, struct err *err)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (PQstatus(conn) != CONNECTION_BAD) {
		if (state == PGRES_POLLING_OK)
			return true;
		if (state == PGRES_POLLING_FAILED)
			break;
		if (!server_wait(PQsocket(conn), state == PGRES_POLLING_READING ? TASK_READ : TASK_WRITE, until, err))
			return err_prefix(err, "connect");
		state = PQconnectPoll(conn);
	}
	return say(err, ERR_TEMPORARY, PQerrorMessage(conn));
}

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	double until = server_clock() + server_time_left(deadline, (double)t->timeout);
	char directory[512];
	const char *names[KEYWORDS] = { NULL }, *values[KEYWORDS] = { NULL }, *port;
	size_t n = 0;
	PGconn *conn;

	split_socket(host, directory, sizeof(directory), &port);
	struct {
		const char *name, *value;
	} wanted[] = {
		{ "host", host->uri ? NULL : directory },
		{ "port", host->uri ? NULL : port },
		{ "user", table_settings_text(t->settings, "user", NULL) },
		{ "password", table_settings_text(t->settings, "password", NULL) },
		{ "client_encoding", table_settings_text(t->settings, "encoding", "UTF8") },
		{ "fallback_application_name", "postrider" },
		/* Last: what a URI says counts. */
		{ "dbname", host->uri ? host->name : table_settings_text(t->settings, "dbname", NULL) },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (!wanted[i].value)
			continue;
		names[n] = wanted[i].name;
		values[n++] = wanted[i].value;
	}
	conn = PQconnectStartParams(names, values, 1);
	if (!conn) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	if (!finish_connecting(conn, until, err)) {
		PQfinish(conn);
		return NULL;
	}
	if (PQsetnonblocking(conn, 1) == 0)
		return conn;
	say(err, ERR_TEMPORARY, PQerrorMessage(conn));
	PQfinish(conn);
	return NULL;
}

static void disconnect(void *connection)
{
	PQfinish(connection);
}

/* --- asking --- */

static bool quote(void *context, struct slice text, struct str *out, struct err *err)
{
	int failed = 0;

	str_reserve(out, text.len * 2 + 1);
	out->len += PQescapeStringConn(context, out->data + out->len, text.ptr ? text.ptr : "", text.len, &failed);
	return !failed || say(err, ERR_TEMPORARY, PQerrorMessage(context));
}

/* Sends and waits until the results can be had without waiting. */
static bool run(PGconn *conn, const char *sql, double until, struct err *err)
{
	int left = 0;

	if (!PQsendQuery(conn, sql))
		return say(err, ERR_CLOSED, PQerrorMessage(conn));
	while ((left = PQflush(conn)) > 0) {
		if (!server_wait(PQsocket(conn), TASK_READ | TASK_WRITE, until, err))
			return false;
		if (!PQconsumeInput(conn))
			return say(err, ERR_CLOSED, PQerrorMessage(conn));
	}
	return left == 0 || say(err, ERR_CLOSED, PQerrorMessage(conn));
}

/* The next result, NULL after the last; *ok false: the connection is of no use. */
static PGresult *next_result(PGconn *conn, double until, bool *ok, struct err *err)
{
	while (PQisBusy(conn)) {
		*ok = server_wait(PQsocket(conn), TASK_READ, until, err);
		if (*ok && !PQconsumeInput(conn))
			*ok = say(err, ERR_CLOSED, PQerrorMessage(conn));
		if (!*ok)
			return NULL;
	}
	return PQgetResult(conn);
}

static bool add_rows(const PGresult *rows, const struct server_table *t, struct server_question *q, struct err *err)
{
	for (int row = 0; row < PQntuples(rows); row++) {
		for (int column = 0; column < PQnfields(rows); column++) {
			struct slice value = slice_make(PQgetvalue(rows, row, column),
							(size_t)PQgetlength(rows, row, column));

			if (!server_question_add(q, t, value, err))
				return false;
		}
	}
	return true;
}

static enum server_result take_result(PGconn *conn, const PGresult *result, const struct server_table *t,
				      struct server_question *q, struct err *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
		server_question_restart(q);
		return add_rows(result, t, q, err) ? SERVER_DONE : SERVER_FAILED;
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		err_set(err, ERR_TEMPORARY, "the query gives no rows: is it a SELECT?");
		return SERVER_FAILED;
	default:
		say(err, ERR_TEMPORARY, PQresultErrorMessage(result));
		return PQstatus(conn) == CONNECTION_OK ? SERVER_REFUSED : SERVER_LOST;
	}
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline,
			      struct err *err)
{
	const struct server_table *t = settings;
	struct server_question *q = question;
	double until = server_clock() + server_time_left(deadline, (double)t->timeout);
	enum server_result outcome = SERVER_FAILED;
	struct str sql = { 0 };
	PGresult *result;
	bool ok = true;

	server_question_restart(q);
	if (table_query_expand(t->query, 0, q->key, quote, connection, &sql, err)) {
		ok = run(connection, str_cstr(&sql), until, err);
		while (ok && (result = next_result(connection, until, &ok, err)) != NULL) {
			outcome = take_result(connection, result, t, q, err);
			/* COPY would wait for data for ever. */
			if (PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT ||
			    PQresultStatus(result) == PGRES_COPY_BOTH)
				ok = false;
			PQclear(result);
		}
	}
	str_free(&sql);
	return ok ? outcome : SERVER_LOST;
}

static const struct server_kind kind = {
	.connect = connect_host, .disconnect = disconnect, .ask = ask, .uris = true,
};

/* --- the table --- */

static const char *find_query(struct server_table *t, struct str *text, struct err *err)
{
	const char *function = table_settings_text(t->settings, "select_function", NULL);
	const char *query = table_settings_text(t->settings, "query", NULL);

	if ((query && *query) || !function)
		return table_settings_sql(t->settings, err);
	str_printf(text, "SELECT %s('%%s')", function);
	return str_cstr(text);
}

static void *open_table(const char *name, struct err *err)
{
	struct server_table *t = server_table_create(name, err);
	struct str text = { 0 };
	const char *query = t ? find_query(t, &text, err) : NULL;

	if (t && !(query && server_table_start(t, &kind, query, "hosts", "localhost", err))) {
		server_table_close(t);
		t = NULL;
	}
	str_free(&text);
	return t;
}

const struct table_type table_pgsql = {
	.name = "pgsql", .folds = true, .outside = true, .open = open_table, .close = server_table_close,
	.lookup = server_table_lookup, .changed = server_table_changed,
};
