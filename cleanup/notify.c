/* SPDX-License-Identifier: ISC */
#include "cleanup/notify.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/mail/message_file.h"
#include "common/proto/qmgr_proto.h"

/*
 * qmgr reads the queue when it starts, so an ID that is lost here is found then; the ring is
 * for a connection that ends while qmgr lives.
 */
#define RING            8192
#define CONNECT_TIMEOUT 30
#define RETRY_DELAY     1
#define BROKEN_DELAY    0.05

static struct {
	struct ipc_client *client;
	struct task_group tasks;
	struct task_event wake;
	char ring[RING][MESSAGE_ID_SIZE];
	uint64_t made, sent; /* numbers of IDs, all told; those from made - RING on are in the ring */
	bool up;
	double warned;
	void (*returned)(const char *name);
	void (*busy)(int change);
	bool is_busy, given_up, flooded;
} me;

static void tell_busy(void)
{
	bool is_busy = me.sent < me.made && !me.given_up;

	if (me.busy && is_busy != me.is_busy)
		me.busy(is_busy ? 1 : -1);
	me.is_busy = is_busy;
}

static bool send_one(uint64_t number)
{
	struct ipc_out m;

	ipc_out_start(&m, QMGR_NEW, 0);
	ipc_put_text(&m, QMGR_FIELD_ID, me.ring[number % RING]);
	return ipc_client_send(me.client, &m);
}

static void send_waiting(void)
{
	if (me.made - me.sent > RING)
		me.sent = me.made - RING;
	while (me.up && me.sent < me.made) {
		if (!send_one(me.sent)) {
			me.up = false;
			task_event_signal(&me.wake);
			break;
		}
		me.sent++;
	}
	tell_busy();
}

static void on_lost(void *context)
{
	me.up = me.flooded = false;
	me.sent = me.made > RING ? me.made - RING : 0;
	tell_busy();
	task_event_signal(&me.wake);
}

static void keep_connection(void *arg)
{
	struct err err = { 0 };

	while (!task_cancelled()) {
		if (me.up) {
			task_event_wait(&me.wake, TASK_FOREVER);
			continue;
		}
		if (ipc_client_connect(me.client, loop_now() + CONNECT_TIMEOUT, &err)) {
			me.up = true;
			send_waiting();
			/* Broken already: the channel's end is told at a later turn of the loop. */
			if (!me.up)
				task_sleep(BROKEN_DELAY);
			continue;
		}
		if (!task_cancelled() && loop_now() > me.warned + 60) {
			log_warning("connect to the queue manager: %s", err.text);
			me.warned = loop_now();
		}
		task_sleep(RETRY_DELAY);
	}
}

static void on_event(struct ipc_in *m, void *context)
{
	char name[MESSAGE_NAME_SIZE];
	struct ipc_field f;
	size_t pos = 0;
	uint64_t flooded;

	if (m->type == QMGR_FLOW && ipc_get_u64(m, QMGR_FIELD_COUNT, &flooded))
		me.flooded = flooded > 0;
	while (m->type == QMGR_RETURNED && ipc_next(m, &pos, &f)) {
		if (f.field != QMGR_FIELD_FILE || f.kind != 's' || !message_id_valid(f.bytes) ||
		    f.bytes.len >= sizeof(name))
			continue;
		snprintf(name, sizeof(name), "%.*s", SLICE_FMT(f.bytes));
		me.returned(name);
	}
}

void notify_start(ipc_connect_fn *connect, void (*returned)(const char *name), void (*busy)(int change))
{
	me.returned = returned;
	me.busy = busy;
	me.client = ipc_client_create("qmgr", &qmgr_protocol, connect);
	ipc_client_on_lost(me.client, on_lost, NULL);
	ipc_client_on_event(me.client, on_event, NULL);
	if (!task_spawn(&me.tasks, keep_connection, NULL))
		log_fatal("cannot start a task");
}

void notify_stop(void)
{
	task_group_cancel(&me.tasks);
	task_group_run(&me.tasks);
	ipc_client_free(&me.client);
	me.made = me.sent = 0;
	me.up = false;
}

bool notify_flooded(void)
{
	return me.flooded;
}

void notify_give_up(void)
{
	me.given_up = true;
	tell_busy();
}

void notify_message(const char *queue_id)
{
	snprintf(me.ring[me.made % RING], MESSAGE_ID_SIZE, "%s", queue_id);
	me.made++;
	send_waiting();
}

size_t notify_waiting(void)
{
	return (size_t)(me.made - me.sent);
}
