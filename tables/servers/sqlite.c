/* SPDX-License-Identifier: ISC */
/* sqlite:/file: SQLite, as sqlite_table(5) describes it.  Its database is the "server". */
#include <sqlite3.h>
#include <stdlib.h>

#include "tables/servers/server_table.h"
#include "tables/servers/servers.h"

#define STEPS 10000              /* of its machine between looks at the clock */

struct connection {
	sqlite3 *db;
	double until;
};

static int on_progress(void *context)
{
	return server_clock() > ((struct connection *)context)->until;
}

static void disconnect(void *connection)
{
	struct connection *c = connection;

	sqlite3_close(c->db);
	free(c);
}

static void *connect_database(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	const char *path = table_settings_text(t->settings, "dbpath", "");
	struct connection *c = mem_alloc(sizeof(*c));

	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		err_set(err, ERR_TEMPORARY, "%s", c->db ? sqlite3_errmsg(c->db) : "out of memory");
		disconnect(c);
		return NULL;
	}
	sqlite3_progress_handler(c->db, STEPS, on_progress, c);
	return c;
}

static bool quote(void *context, struct slice text, struct str *out, struct err *err)
{
	/* No NUL is in a key: table_query_wants. */
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\'')
			str_append_byte(out, '\'');
		str_append_byte(out, text.ptr[i]);
	}
	return true;
}

static bool add_row(sqlite3_stmt *statement, const struct server_table *t, struct server_question *q, struct err *err)
{
	for (int column = 0; column < sqlite3_column_count(statement); column++) {
		const unsigned char *text = sqlite3_column_text(statement, column);

		if (text && !server_question_add(q, t, slice_make(text, (size_t)sqlite3_column_bytes(statement, column)), err))
			return false;
	}
	return true;
}

static enum server_result run(struct connection *c, const char *sql, const struct server_table *t,
			      struct server_question *q, struct err *err)
{
	enum server_result outcome = SERVER_DONE;
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(c->db, sql, -1, &statement, NULL);

	if (code == SQLITE_OK && (!statement || !sqlite3_stmt_readonly(statement))) {
		err_set(err, ERR_TEMPORARY, "the query gives no rows: is it a SELECT?");
		outcome = SERVER_FAILED;
	}
	while (outcome == SERVER_DONE && code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		code = SQLITE_OK;
		if (!add_row(statement, t, q, err))
			outcome = SERVER_FAILED;
	}
	if (outcome == SERVER_DONE && code != SQLITE_DONE) {
		err_set(err, code == SQLITE_INTERRUPT ? ERR_TIMEOUT : ERR_TEMPORARY, "%s", sqlite3_errmsg(c->db));
		outcome = code == SQLITE_ERROR ? SERVER_REFUSED : SERVER_LOST;
	}
	sqlite3_finalize(statement);
	return outcome;
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	struct server_question *q = question;
	struct connection *c = connection;
	double left = server_time_left(deadline, (double)t->timeout);
	enum server_result outcome = SERVER_FAILED;
	struct str sql = { 0 };

	c->until = server_clock() + left;
	sqlite3_busy_timeout(c->db, (int)(left * 1000));
	server_question_restart(q);
	if (table_query_expand(t->query, 0, q->key, quote, NULL, &sql, err))
		outcome = run(c, str_cstr(&sql), t, q, err);
	str_free(&sql);
	return outcome;
}

static const struct server_kind kind = { .connect = connect_database, .disconnect = disconnect, .ask = ask };

static void *open_table(const char *name, struct err *err)
{
	struct server_table *t = server_table_create(name, err);
	const char *query = t ? table_settings_sql(t->settings, err) : NULL;

	if (query && !table_settings_text(t->settings, "dbpath", NULL)) {
		err_set(err, ERR_SYNTAX, "%s: no dbpath", name);
		query = NULL;
	}
	if (t && !(query && server_table_start(t, &kind, query, "dbpath", "", err))) {
		server_table_close(t);
		t = NULL;
	}
	return t;
}

const struct table_type table_sqlite = {
	.name = "sqlite", .folds = true, .outside = true, .open = open_table, .close = server_table_close,
	.lookup = server_table_lookup, .changed = server_table_changed,
};
