/* SPDX-License-Identifier: ISC */
/* mysql:/file: MariaDB and MySQL through MariaDB's library, as mysql_table(5) describes it. */
#include <errmsg.h>
#include <mysql.h>
#include <stdlib.h>

#include "tables/servers/server_table.h"
#include "tables/servers/servers.h"

struct own {
	bool require_result_set, verify;
};

static bool say(struct err *err, MYSQL *db)
{
	unsigned code = mysql_errno(db);

	/* The library tells a time-out of reading by this code and the system's error. */
	return err_set(err, code == CR_SERVER_LOST || code == CR_SERVER_GONE_ERROR ? ERR_CLOSED : ERR_TEMPORARY, "%s",
		       mysql_error(db));
}

/* --- connecting --- */

static void set_text(MYSQL *db, const struct server_table *t, enum mysql_option option, const char *setting,
		     const char *missing)
{
	const char *text = table_settings_text(t->settings, setting, missing);

	if (text && *text)
		(void)mysql_optionsv(db, option, (void *)text);
}

static void set_options(MYSQL *db, const struct server_table *t, double seconds)
{
	const struct own *own = t->own;
	unsigned limit = (unsigned)seconds + 1, wait = (unsigned)t->timeout, no = 0;
	my_bool verify = own->verify;

	(void)mysql_optionsv(db, MYSQL_OPT_CONNECT_TIMEOUT, (void *)&limit);
	(void)mysql_optionsv(db, MYSQL_OPT_READ_TIMEOUT, (void *)&wait);
	(void)mysql_optionsv(db, MYSQL_OPT_WRITE_TIMEOUT, (void *)&wait);
	/* A server must not read our files. */
	(void)mysql_optionsv(db, MYSQL_OPT_LOCAL_INFILE, (void *)&no);
	set_text(db, t, MYSQL_READ_DEFAULT_FILE, "option_file", NULL);
	set_text(db, t, MYSQL_READ_DEFAULT_GROUP, "option_group", "client");
	set_text(db, t, MYSQL_SET_CHARSET_NAME, "charset", "utf8mb4");
	set_text(db, t, MYSQL_OPT_SSL_KEY, "tls_key_file", NULL);
	set_text(db, t, MYSQL_OPT_SSL_CERT, "tls_cert_file", NULL);
	set_text(db, t, MYSQL_OPT_SSL_CA, "tls_CAfile", NULL);
	set_text(db, t, MYSQL_OPT_SSL_CAPATH, "tls_CApath", NULL);
	set_text(db, t, MYSQL_OPT_SSL_CIPHER, "tls_ciphers", NULL);
	if (verify)
		(void)mysql_optionsv(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, (void *)&verify);
}

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	MYSQL *db = mysql_init(NULL);
	uint64_t port = 0;

	if (!db) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	set_options(db, t, server_time_left(deadline, (double)t->timeout));
	if (host->port)
		(void)slice_to_u64(slice_of(host->port), &port);
	if (mysql_real_connect(db, host->local ? NULL : host->name, table_settings_text(t->settings, "user", NULL),
			       table_settings_text(t->settings, "password", NULL),
			       table_settings_text(t->settings, "dbname", NULL), (unsigned)port,
			       host->local ? host->name : NULL, CLIENT_MULTI_RESULTS))
		return db;
	say(err, db);
	mysql_close(db);
	return NULL;
}

static void disconnect(void *connection)
{
	mysql_close(connection);
}

/* --- asking --- */

static bool quote(void *context, struct slice text, struct str *out, struct err *err)
{
	unsigned long len;

	str_reserve(out, text.len * 2 + 1);
	len = mysql_real_escape_string(context, out->data + out->len, text.ptr ? text.ptr : "", text.len);
	if (len == (unsigned long)-1)
		return err_set(err, ERR_TEMPORARY, "the key cannot be quoted in the connection's character set");
	out->len += len;
	return true;
}

static bool add_rows(MYSQL_RES *rows, const struct server_table *t, struct server_question *q, struct err *err)
{
	unsigned columns = mysql_num_fields(rows);
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(rows)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(rows);

		for (unsigned i = 0; i < columns; i++)
			if (row[i] && !server_question_add(q, t, slice_make(row[i], lengths[i]), err))
				return false;
	}
	return true;
}

/* A stored procedure gives its result set and a status after it; every one is read, so that the connection is clean. */
static enum server_result take_results(MYSQL *db, const struct server_table *t, struct server_question *q,
				       struct err *err)
{
	const struct own *own = t->own;
	enum server_result outcome = SERVER_DONE;
	unsigned sets = 0;
	int more;

	do {
		MYSQL_RES *rows = mysql_store_result(db);

		if (!rows && mysql_errno(db) != 0) {
			say(err, db);
			return SERVER_LOST;
		}
		if (rows && sets++ > 0 && outcome == SERVER_DONE) {
			err_set(err, ERR_TEMPORARY, "the query gives more than one result set");
			outcome = SERVER_FAILED;
		} else if (rows && outcome == SERVER_DONE && !add_rows(rows, t, q, err)) {
			outcome = SERVER_FAILED;
		}
		mysql_free_result(rows);
		more = mysql_next_result(db);
	} while (more == 0);
	if (more > 0) {
		say(err, db);
		return SERVER_LOST;
	}
	if (sets == 0 && own->require_result_set) {
		err_set(err, ERR_TEMPORARY, "the query gives no result set");
		return SERVER_FAILED;
	}
	return outcome;
}

static bool is_lost(MYSQL *db)
{
	unsigned code = mysql_errno(db);

	return code >= CR_MIN_ERROR && code <= CR_MAX_ERROR;
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline,
			      struct err *err)
{
	const struct server_table *t = settings;
	struct server_question *q = question;
	enum server_result outcome = SERVER_FAILED;
	struct str sql = { 0 };
	double start = server_clock();

	server_question_restart(q);
	if (table_query_expand(t->query, 0, q->key, quote, connection, &sql, err)) {
		if (mysql_real_query(connection, sql.data, sql.len) == 0) {
			outcome = take_results(connection, t, q, err);
		} else {
			say(err, connection);
			outcome = is_lost(connection) ? SERVER_LOST : SERVER_REFUSED;
		}
	}
	str_free(&sql);
	if (outcome == SERVER_LOST && server_clock() - start >= (double)t->timeout)
		err_set(err, ERR_TIMEOUT, "no answer in time");
	return outcome;
}

static const struct server_kind kind = { .connect = connect_host, .disconnect = disconnect, .ask = ask };

/* --- the table --- */

static bool read_settings(struct server_table *t, struct err *err)
{
	struct own *own = mem_alloc(sizeof(*own));

	t->own = own;
	return table_settings_bool(t->settings, "require_result_set", true, &own->require_result_set, err) &&
	       table_settings_bool(t->settings, "tls_verify_cert", false, &own->verify, err);
}

static void *open_table(const char *name, struct err *err)
{
	struct server_table *t;
	const char *query;

	/* Before threads use it. */
	if (mysql_library_init(0, NULL, NULL) != 0) {
		err_set(err, ERR_TEMPORARY, "the client library does not start");
		return NULL;
	}
	t = server_table_create(name, err);
	if (!t)
		return NULL;
	query = table_settings_sql(t->settings, err);
	if (query && read_settings(t, err) && server_table_start(t, &kind, query, "hosts", "localhost", err))
		return t;
	server_table_close(t);
	return NULL;
}

const struct table_type table_mysql = {
	.name = "mysql", .folds = true, .outside = true, .open = open_table, .close = server_table_close,
	.lookup = server_table_lookup, .changed = server_table_changed,
};
