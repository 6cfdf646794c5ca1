/* SPDX-License-Identifier: ISC */
#include "tables/proxy.h"

#include <stdlib.h>

#include "common/base/str.h"
#include "common/proto/proxymap_proto.h"

#define LOOKUP_TIMEOUT 60   /* seconds; proxymap itself gives up before */
#define REST           5.0  /* after a time-out */

struct proxy_table {
	char *spec;
	double rests_until;
};

static struct {
	ipc_connect_fn *connect;
	struct ipc_client *client;
	size_t tables;
} me;

void tables_use_proxy(ipc_connect_fn *connect)
{
	me.connect = connect;
}

bool tables_may_wait(void)
{
	return me.tables > 0;
}

bool proxy_table_wanted(void)
{
	return me.connect != NULL;
}

struct proxy_table *proxy_table_create(const char *spec)
{
	struct proxy_table *table = mem_alloc(sizeof(*table));

	table->spec = mem_strdup(spec);
	me.tables++;
	return table;
}

void proxy_table_free(struct proxy_table **table)
{
	if (!*table)
		return;
	me.tables--;
	free((*table)->spec);
	free(*table);
	*table = NULL;
}

enum table_result proxy_table_lookup(struct proxy_table *table, struct slice key,
				     struct arena *arena, struct slice *value, struct err *err)
{
	struct proxymap_question question = { slice_of(table->spec), key };
	struct proxymap_answer answer;

	*value = SLICE_NONE;
	if (loop_now() < table->rests_until) {
		err_set(err, ERR_TEMPORARY, "no answer from proxymap a moment ago");
		return TABLE_ERROR;
	}
	if (!me.client)
		me.client = ipc_client_create("proxymap", &proxymap_protocol, me.connect);
	if (!proxymap_ask(me.client, &question, loop_now() + LOOKUP_TIMEOUT, arena, &answer, err)) {
		if (err->code == ERR_TIMEOUT)
			table->rests_until = loop_now() + REST;
		return TABLE_ERROR;
	}
	switch (answer.status) {
	case PROXYMAP_FOUND:
		*value = answer.text;
		return TABLE_FOUND;
	case PROXYMAP_NOT_FOUND:
		return TABLE_NOT_FOUND;
	case PROXYMAP_ERROR:
		break;
	}
	err_set(err, ERR_TEMPORARY, "%.*s", SLICE_FMT(answer.text));
	return TABLE_ERROR;
}
