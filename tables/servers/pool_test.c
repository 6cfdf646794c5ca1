/* SPDX-License-Identifier: ISC */
/* The servers of a table: order, rest after a failure, connections that are kept, lookups side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "tables/servers/pool.h"

/* What the servers of this test do, and what was done to them. */
static struct {
	atomic_int connects, asks, open, at_a_time, most;
	const char *dead;            /* refuses connections */
	int lose, slow;              /* so many questions lose the connection, or have no answer in time */
	enum server_result result;
	char last[64], port[16];
	bool local, uri;
} fake;

static void *fake_connect(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	fake.connects++;
	snprintf(fake.last, sizeof(fake.last), "%s", host->name);
	snprintf(fake.port, sizeof(fake.port), "%s", host->port ? host->port : "");
	fake.local = host->local;
	fake.uri = host->uri;
	if (fake.dead && strstr(fake.dead, host->name)) {
		err_set(err, ERR_TEMPORARY, "refused");
		return NULL;
	}
	fake.open++;
	return mem_strdup(host->name);
}

static void fake_disconnect(void *connection)
{
	fake.open--;
	free(connection);
}

static enum server_result fake_ask(void *connection, const void *settings, void *question, double deadline,
				   struct err *err)
{
	int now = ++fake.at_a_time, most = fake.most;

	while (now > most && !atomic_compare_exchange_weak(&fake.most, &most, now))
		;
	fake.asks++;
	/* Until all the others that may be are here too. */
	for (double end = server_clock() + 5; question && fake.most < SERVER_LOOKUPS && server_clock() < end;)
		;
	fake.at_a_time--;
	if (fake.lose > 0 || fake.slow > 0) {
		err_set(err, fake.slow > 0 ? ERR_TIMEOUT : ERR_CLOSED, fake.slow > 0 ? "too slow" : "lost");
		fake.lose -= fake.lose > 0;
		fake.slow -= fake.slow > 0;
		return SERVER_LOST;
	}
	if (fake.result != SERVER_DONE)
		err_set(err, ERR_PERMANENT, "an error");
	return fake.result;
}

static const struct server_kind kind = { .connect = fake_connect, .disconnect = fake_disconnect, .ask = fake_ask,
					 .uris = true };
static const struct server_kind ordered = { .connect = fake_connect, .disconnect = fake_disconnect, .ask = fake_ask,
					    .ordered = true };

static struct server_pool *pool_of(const struct server_kind *k, const char *hosts)
{
	struct err err;
	struct server_pool *pool;

	memset(&fake, 0, sizeof(fake));
	pool = server_pool_create(k, NULL, hosts, "test", &err);
	assert_non_null(pool);
	return pool;
}

static void check_host(const char *text, const char *name, const char *port, bool local, bool uri)
{
	struct server_pool *pool = pool_of(&kind, text);
	struct err err;

	assert_true(server_pool_ask(pool, NULL, &err));
	assert_string_equal(fake.last, name);
	assert_string_equal(fake.port, port);
	assert_int_equal(fake.local, local);
	assert_int_equal(fake.uri, uri);
	server_pool_free(&pool);
	assert_int_equal(fake.open, 0);
}

static void hosts_are_read(void **state)
{
	struct err err;

	check_host("db.test", "db.test", "", false, false);
	check_host("inet:db.test:5", "db.test", "5", false, false);
	check_host(" 127.0.0.1:5,", "127.0.0.1", "5", false, false);
	check_host("[::1]:5", "::1", "5", false, false);
	check_host("[::1]", "::1", "", false, false);
	check_host("::1", "::1", "", false, false);
	check_host("unix:/run/x", "/run/x", "", true, false);
	check_host("/run/x:5", "/run/x", "5", true, false);
	check_host("postgresql://u@h:5/d", "postgresql://u@h:5/d", "", false, true);
	check_host("db:name", "db:name", "", false, false);
	assert_null(server_pool_create(&kind, NULL, " ,", "test", &err));
	assert_int_equal(err.code, ERR_SYNTAX);
}

static void a_connection_is_kept(void **state)
{
	struct server_pool *pool = pool_of(&kind, "a");
	struct err err;

	for (int i = 0; i < 5; i++)
		assert_true(server_pool_ask(pool, NULL, &err));
	assert_int_equal(fake.connects, 1);
	/* One that has gone meanwhile is made again, without an error. */
	fake.lose = 1;
	assert_true(server_pool_ask(pool, NULL, &err));
	assert_int_equal(fake.connects, 2);
	assert_int_equal(fake.open, 1);
	server_pool_free(&pool);
	assert_int_equal(fake.open, 0);
}

static void a_dead_host_rests_and_the_next_is_asked(void **state)
{
	struct server_pool *pool = pool_of(&ordered, "dead live");
	struct err err;

	fake.dead = "dead";
	for (int i = 0; i < 5; i++)
		assert_true(server_pool_ask(pool, NULL, &err));
	/* Once each: the dead one is left alone, the live one's connection is kept. */
	assert_int_equal(fake.connects, 2);
	assert_string_equal(fake.last, "live");
	server_pool_free(&pool);
}

static void all_dead_is_a_temporary_error_at_once(void **state)
{
	struct server_pool *pool = pool_of(&kind, "one two");
	struct err err;

	fake.dead = "one two";
	assert_false(server_pool_ask(pool, NULL, &err));
	assert_int_equal(err.code, ERR_TEMPORARY);
	assert_non_null(strstr(err.text, "refused"));
	assert_int_equal(fake.connects, 2);
	assert_false(server_pool_ask(pool, NULL, &err));
	assert_int_equal(err.code, ERR_TEMPORARY);
	assert_non_null(strstr(err.text, "a moment ago"));
	assert_int_equal(fake.connects, 2);
	server_pool_free(&pool);
}

static void a_slow_server_is_not_asked_the_same_again(void **state)
{
	struct server_pool *pool = pool_of(&kind, "a");
	struct err err;

	assert_true(server_pool_ask(pool, NULL, &err));
	fake.slow = 1;
	assert_false(server_pool_ask(pool, NULL, &err));
	assert_int_equal(err.code, ERR_TEMPORARY);
	assert_int_equal(fake.asks, 2);
	server_pool_free(&pool);
	assert_int_equal(fake.open, 0);
}

static void errors_of_the_question_end_it(void **state)
{
	struct server_pool *pool = pool_of(&ordered, "a b");
	struct err err;

	fake.result = SERVER_FAILED;
	assert_false(server_pool_ask(pool, NULL, &err));
	assert_int_equal(fake.asks, 1);
	assert_int_equal(err.code, ERR_TEMPORARY);
	assert_non_null(strstr(err.text, "server a: an error"));
	/* Of the host: the next one may do better; neither rests. */
	fake.result = SERVER_REFUSED;
	assert_false(server_pool_ask(pool, NULL, &err));
	assert_int_equal(fake.asks, 3);
	fake.result = SERVER_DONE;
	assert_true(server_pool_ask(pool, NULL, &err));
	assert_int_equal(fake.connects, 2);
	server_pool_free(&pool);
}

static void local_hosts_come_first_the_rest_at_random(void **state)
{
	bool seen[2] = { false };
	struct err err;

	for (int i = 0; i < 200 && !(seen[0] && seen[1]); i++) {
		struct server_pool *pool = pool_of(&kind, "a b unix:/s");

		fake.dead = "/s";
		assert_true(server_pool_ask(pool, NULL, &err));
		assert_int_equal(fake.connects, 2);
		seen[fake.last[0] == 'b'] = true;
		server_pool_free(&pool);
	}
	assert_true(seen[0] && seen[1]);
}

struct asker {
	struct server_pool *pool;
	int answered;
};

static void ask_in_task(void *arg)
{
	struct asker *a = arg;
	struct err err;

	a->answered += server_pool_ask(a->pool, a, &err);
}

static void lookups_run_side_by_side_and_no_more(void **state)
{
	struct asker asker = { pool_of(&kind, "a"), 0 };
	struct task_group group = { 0 };

	task_offload_threads(64);
	for (int i = 0; i < 40; i++)
		assert_non_null(task_spawn(&group, ask_in_task, &asker));
	task_group_run(&group);
	assert_int_equal(asker.answered, 40);
	assert_int_equal(fake.most, SERVER_LOOKUPS);
	assert_true(fake.connects <= SERVER_LOOKUPS);
	server_pool_free(&asker.pool);
	assert_int_equal(fake.open, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_read),
		cmocka_unit_test(a_connection_is_kept),
		cmocka_unit_test(a_dead_host_rests_and_the_next_is_asked),
		cmocka_unit_test(all_dead_is_a_temporary_error_at_once),
		cmocka_unit_test(a_slow_server_is_not_asked_the_same_again),
		cmocka_unit_test(errors_of_the_question_end_it),
		cmocka_unit_test(local_hosts_come_first_the_rest_at_random),
		cmocka_unit_test(lookups_run_side_by_side_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
