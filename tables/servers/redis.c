/* SPDX-License-Identifier: ISC */
/*
 * redis:/file: Redis and Valkey.  The file has the settings of the SQL tables: hosts, user, password,
 * dbname (a number), domain, result_format, expansion_limit, timeout.  `query` is a command,
 * "GET mail:alias:%s": cut into its words first, the key put into each of them after, so that a
 * key is never a word of its own.
 */
#include <errno.h>
#include <hiredis.h>
#include <stdlib.h>
#include <sys/time.h>

#include "tables/servers/server_table.h"
#include "tables/servers/servers.h"

#define WORDS_MAX   32
#define PORT        6379
#define NESTING_MAX 4

struct own {
	size_t words;             /* the templates of the query */
};

/* --- connecting --- */

static void say(struct err *err, const redisContext *c)
{
	if (!c)
		err_set(err, ERR_TEMPORARY, "out of memory");
	else if (c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT))
		err_set(err, ERR_TIMEOUT, "no answer in time");
	else
		err_set(err, ERR_CLOSED, "%s", c->errstr);
}

/* AUTH and SELECT: the reply must not be an error. */
static bool command(redisContext *c, int argc, const char **argv, struct err *err)
{
	redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
	bool ok = reply && reply->type != REDIS_REPLY_ERROR;

	if (!reply)
		say(err, c);
	else if (!ok)
		err_set(err, ERR_TEMPORARY, "%s: %s", argv[0], reply->str);
	if (reply)
		freeReplyObject(reply);
	return ok;
}

static bool log_in(redisContext *c, const struct server_table *t, struct err *err)
{
	const char *user = table_settings_text(t->settings, "user", NULL);
	const char *password = table_settings_text(t->settings, "password", NULL);
	const char *number = table_settings_text(t->settings, "dbname", NULL);
	const char *with_user[] = { "AUTH", user, password };
	const char *without[] = { "AUTH", password };
	const char *select[] = { "SELECT", number };

	if (password && user && *user && !command(c, 3, with_user, err))
		return false;
	if (password && *password && !(user && *user) && !command(c, 2, without, err))
		return false;
	return !number || !*number || command(c, 2, select, err);
}

static void *connect_host(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	double seconds = server_time_left(deadline, (double)t->timeout);
	struct timeval limit = { (time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6) };
	uint64_t port = PORT;
	redisContext *c;

	if (host->port)
		(void)slice_to_u64(slice_of(host->port), &port);
	c = host->local ? redisConnectUnixWithTimeout(host->name, limit) :
			  redisConnectWithTimeout(host->name, (int)port, limit);
	if (c && !c->err && redisSetTimeout(c, (struct timeval){ t->timeout, 0 }) == REDIS_OK && log_in(c, t, err))
		return c;
	if (!c || c->err)
		say(err, c);
	if (c)
		redisFree(c);
	return NULL;
}

static void disconnect(void *connection)
{
	redisFree(connection);
}

/* --- asking --- */

/* A word stays a word whatever is in it. */
static bool quote(void *context, struct slice text, struct str *out, struct err *err)
{
	str_append(out, text);
	return true;
}

static redisReply *send_command(redisContext *c, const struct server_table *t, struct slice key, struct err *err)
{
	const struct own *own = t->own;
	struct str words[WORDS_MAX] = { { 0 } };
	const char *argv[WORDS_MAX];
	size_t lengths[WORDS_MAX];
	redisReply *reply = NULL;
	bool ok = true;

	for (size_t i = 0; ok && i < own->words; i++) {
		ok = table_query_expand(t->query, i, key, quote, NULL, &words[i], err);
		argv[i] = str_cstr(&words[i]);
		lengths[i] = words[i].len;
	}
	if (ok) {
		reply = redisCommandArgv(c, (int)own->words, argv, lengths);
		if (!reply)
			say(err, c);
	}
	for (size_t i = 0; i < own->words; i++)
		str_free(&words[i]);
	return reply;
}

/* A string, a number, or a list of them. */
static enum server_result take(const redisReply *r, const struct server_table *t, struct server_question *q,
			       unsigned depth, struct err *err)
{
	enum server_result outcome = SERVER_DONE;
	char number[24];

	switch (r->type) {
	case REDIS_REPLY_NIL:
		return SERVER_DONE;
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return server_question_add(q, t, slice_make(r->str, (size_t)r->len), err) ? SERVER_DONE : SERVER_FAILED;
	case REDIS_REPLY_INTEGER:
		snprintf(number, sizeof(number), "%lld", r->integer);
		return server_question_add(q, t, slice_of(number), err) ? SERVER_DONE : SERVER_FAILED;
	case REDIS_REPLY_ARRAY:
		for (size_t i = 0; depth < NESTING_MAX && outcome == SERVER_DONE && i < r->elements; i++)
			outcome = take(r->element[i], t, q, depth + 1, err);
		return outcome;
	case REDIS_REPLY_ERROR:
		err_set(err, ERR_TEMPORARY, "%s", r->str);
		return SERVER_REFUSED;
	default:
		err_set(err, ERR_TEMPORARY, "a reply of an unknown kind");
		return SERVER_REFUSED;
	}
}

static enum server_result ask(void *connection, const void *settings, void *question, double deadline,
			      struct err *err)
{
	const struct server_table *t = settings;
	struct server_question *q = question;
	redisReply *reply;
	enum server_result outcome;

	server_question_restart(q);
	reply = send_command(connection, t, q->key, err);
	if (!reply)
		return SERVER_LOST;
	outcome = take(reply, t, q, 0, err);
	freeReplyObject(reply);
	return outcome;
}

static const struct server_kind kind = { .connect = connect_host, .disconnect = disconnect, .ask = ask };

/* --- the table --- */

static bool start(struct server_table *t, struct err *err)
{
	struct own *own = mem_alloc(sizeof(*own));
	struct slice rest = slice_of(table_settings_text(t->settings, "query", "GET %s")), word;
	const char *name = table_settings_name(t->settings);
	long number;
	bool ok = true;

	t->own = own;
	if (!table_settings_int(t->settings, "dbname", 0, 0, 1000000, &number, err))
		return false;
	while (ok && slice_word(&rest, " \t\r\n", &word)) {
		char *text = mem_slicedup(word);

		if (own->words == WORDS_MAX)
			ok = err_set(err, ERR_SYNTAX, "%s: query has more than %d words", name, WORDS_MAX);
		else if (own->words++ == 0)
			ok = server_table_start(t, &kind, text, "hosts", "localhost", err);
		else
			ok = table_query_add_template(t->query, text, err);
		free(text);
	}
	return ok && (own->words > 0 || err_set(err, ERR_SYNTAX, "%s: no query", name));
}

static void *open_table(const char *name, struct err *err)
{
	struct server_table *t = server_table_create(name, err);

	if (t && !start(t, err)) {
		server_table_close(t);
		t = NULL;
	}
	return t;
}

const struct table_type table_redis = {
	.name = "redis", .folds = true, .outside = true, .open = open_table, .close = server_table_close,
	.lookup = server_table_lookup, .changed = server_table_changed,
};
