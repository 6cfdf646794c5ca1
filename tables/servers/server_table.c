/* SPDX-License-Identifier: ISC */
#include "tables/servers/server_table.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "common/base/task.h"

#define TIMEOUT_DEFAULT 10
#define TIMEOUT_MAX     30

struct server_table *server_table_create(const char *name, struct err *err)
{
	struct server_table *t = mem_alloc(sizeof(*t));
	bool ok;

	t->settings = table_settings_open(name, err);
	ok = t->settings &&
	     table_settings_int(t->settings, "timeout", TIMEOUT_DEFAULT, 1, TIMEOUT_MAX, &t->timeout, err);
	if (!ok) {
		server_table_close(t);
		return NULL;
	}
	return t;
}

bool server_table_start(struct server_table *t, const struct server_kind *kind, const char *query,
			const char *setting, const char *missing, struct err *err)
{
	const char *hosts = table_settings_text(t->settings, setting, missing);

	/* As in Postfix an empty list is the default. */
	if (slice_trim(slice_of(hosts)).len == 0)
		hosts = missing;
	t->query = table_query_open(t->settings, query, err);
	if (!t->query)
		return false;
	t->pool = server_pool_create(kind, t, hosts, table_settings_name(t->settings), err);
	return t->pool != NULL;
}

void server_table_close(void *impl)
{
	struct server_table *t = impl;

	server_pool_free(&t->pool);
	table_query_free(&t->query);
	table_settings_free(&t->settings);
	free(t->own);
	free(t);
}

bool server_table_changed(void *impl)
{
	return table_settings_changed(((struct server_table *)impl)->settings);
}

enum table_result server_table_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				      struct err *err)
{
	struct server_table *t = impl;
	struct server_question question = { .key = key };
	int wanted = table_query_wants(t->query, key, err);
	enum table_result result = TABLE_NOT_FOUND;

	if (wanted <= 0)
		return wanted < 0 ? TABLE_ERROR : TABLE_NOT_FOUND;
	if (!server_pool_ask(t->pool, &question, err)) {
		result = TABLE_ERROR;
	} else if (question.result.count > 0) {
		*value = arena_slice(arena, str_slice(&question.result.text));
		result = TABLE_FOUND;
	}
	str_free(&question.result.text);
	return result;
}

void server_question_restart(struct server_question *question)
{
	str_clear(&question->result.text);
	question->result.count = 0;
}

bool server_question_add(struct server_question *question, const struct server_table *table, struct slice value,
			 struct err *err)
{
	if (!table_query_add(table->query, question->key, value, &question->result, err))
		return false;
	if (question->result.text.len > SERVER_VALUE_MAX)
		return err_set(err, ERR_LIMIT, "the result has more than %zu bytes", SERVER_VALUE_MAX);
	return true;
}

bool server_wait(int fd, int events, double until, struct err *err)
{
	struct pollfd p = { .fd = fd, .events = (short)((events & TASK_READ ? POLLIN : 0) |
							(events & TASK_WRITE ? POLLOUT : 0)) };

	for (;;) {
		double left = until - server_clock();
		int n = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;

		if (n > 0)
			return true;
		if (n == 0)
			return err_set(err, ERR_TIMEOUT, "no answer in time");
		if (errno != EINTR)
			return err_set_errno(err, ERR_TEMPORARY, "poll");
	}
}
