/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>

#include "cleanup/notify.h"
#include "common/base/str.h"
#include "common/proto/qmgr_proto.h"

static struct ipc_channel *qmgr;
static int heard, connects, busy;
static bool away = true;
static char last[32];
static struct str names;

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct slice id;

	assert_int_equal(m->type, QMGR_NEW);
	assert_true(ipc_get_bytes(m, QMGR_FIELD_ID, &id));
	snprintf(last, sizeof(last), "%.*s", SLICE_FMT(id));
	heard++;
}

static void on_close(struct ipc_channel *ch, void *context)
{
	ipc_channel_free(&qmgr);
}

static int connect_qmgr(const char *service, double deadline, struct err *err)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	int pair[2];

	connects++;
	if (away) {
		err_set(err, ERR_TEMPORARY, "qmgr is away");
		return -1;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	qmgr = ipc_channel_create(pair[1], &qmgr_protocol, &handler, NULL);
	return pair[0];
}

static void returned(const char *name)
{
	str_printf(&names, "%s ", name);
}

static void count_busy(int change)
{
	busy += change;
}

static void give_back(void)
{
	struct ipc_out m;

	ipc_out_start(&m, QMGR_RETURNED, 0);
	ipc_put_text(&m, QMGR_FIELD_FILE, "KD40xB");
	ipc_put_text(&m, QMGR_FIELD_FILE, "../../x");
	ipc_put_text(&m, QMGR_FIELD_FILE, "KD40xC");
	assert_true(ipc_send(qmgr, &m));
	task_sleep(0.05);
	assert_string_equal(str_cstr(&names), "KD40xB KD40xC ");
	str_free(&names);
}

static void conversation(void *arg)
{
	notify_message("ID0001");
	notify_message("ID0002");
	task_sleep(0.1);
	assert_int_equal(notify_waiting(), 2);
	assert_int_equal(busy, 1);
	away = false;
	task_sleep(1.2);
	assert_int_equal(heard, 2);
	assert_int_equal(busy, 0);
	assert_string_equal(last, "ID0002");
	notify_message("ID0003");
	task_sleep(0.05);
	assert_int_equal(heard, 3);
	give_back();
	/* qmgr ends: what it may not have read is told again. */
	ipc_channel_free(&qmgr);
	task_sleep(0.2);
	notify_message("ID0004");
	task_sleep(1.2);
	assert_string_equal(last, "ID0004");
	assert_int_equal(heard, 3 + 4);
	assert_int_equal(notify_waiting(), 0);
}

static void notifies(void **state)
{
	struct task_group group = { 0 };

	notify_start(connect_qmgr, returned, count_busy);
	task_spawn(&group, conversation, NULL);
	task_group_run(&group);
	notify_stop();
	ipc_channel_free(&qmgr);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(notifies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
