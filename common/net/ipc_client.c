/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/ipc.h"

#define BUCKETS 256

/* A call in flight: on the stack of its task. */
struct call {
	struct call *next;
	uint32_t request;
	bool done;
	bool lost;
	struct ipc_reply *reply;
	struct task_event event;
};

struct ipc_client {
	const char *service;
	const struct ipc_protocol *protocol;
	ipc_connect_fn *connect;
	struct ipc_channel *channel;
	bool connecting;
	struct task_event connected;
	uint32_t last_request;
	struct call *calls[BUCKETS];
	void (*on_event)(struct ipc_in *m, void *context);
	void *event_context;
	void (*on_lost)(void *context);
	void *lost_context;
};

struct ipc_client *ipc_client_create(const char *service, const struct ipc_protocol *protocol,
				     ipc_connect_fn *connect)
{
	struct ipc_client *client = mem_alloc(sizeof(*client));

	client->service = service;
	client->protocol = protocol;
	client->connect = connect;
	return client;
}

static void fail_calls(struct ipc_client *client)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (client->calls[i]) {
			struct call *call = client->calls[i];

			client->calls[i] = call->next;
			call->lost = call->done = true;
			task_event_signal(&call->event);
		}
	}
}

void ipc_client_free(struct ipc_client **client)
{
	if (!*client)
		return;
	fail_calls(*client);
	ipc_channel_free(&(*client)->channel);
	free(*client);
	*client = NULL;
}

void ipc_client_on_event(struct ipc_client *client, void (*fn)(struct ipc_in *m, void *context),
			 void *context)
{
	client->on_event = fn;
	client->event_context = context;
}

void ipc_client_on_lost(struct ipc_client *client, void (*fn)(void *context), void *context)
{
	client->on_lost = fn;
	client->lost_context = context;
}

static void keep_reply(struct call *call, struct ipc_in *m)
{
	call->reply->storage = mem_alloc(m->len);
	memcpy(call->reply->storage, m->data, m->len);
	call->reply->in = *m;
	call->reply->in.data = call->reply->storage;
	for (int i = 0; i < m->fd_count; i++)
		m->fds[i] = -1;
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct ipc_client *client = context;

	for (struct call **at = &client->calls[m->request % BUCKETS]; *at; at = &(*at)->next) {
		struct call *call = *at;

		if (call->request != m->request)
			continue;
		*at = call->next;
		keep_reply(call, m);
		call->done = true;
		task_event_signal(&call->event);
		return;
	}
	if (m->request == 0 && client->on_event)
		client->on_event(m, client->event_context);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct ipc_client *client = context;

	ipc_channel_free(&client->channel);
	fail_calls(client);
	if (client->on_lost)
		client->on_lost(client->lost_context);
}

static const struct ipc_handler handler = { on_message, on_close };

bool ipc_client_connect(struct ipc_client *client, double deadline, struct err *err)
{
	while (!client->channel && client->connecting) {
		enum task_wait waited = task_event_wait(&client->connected, deadline);

		if (waited != TASK_READY)
			return err_set(err, waited == TASK_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED,
				       "waiting for a connection to %s", client->service);
	}
	if (client->channel)
		return true;
	client->connecting = true;
	int fd = client->connect(client->service, deadline, err);

	client->connecting = false;
	if (fd >= 0)
		client->channel = ipc_channel_create(fd, client->protocol, &handler, client);
	task_event_broadcast(&client->connected);
	return client->channel != NULL;
}

uint32_t ipc_client_request(struct ipc_client *client)
{
	if (++client->last_request == 0)
		++client->last_request;
	return client->last_request;
}

static void forget(struct ipc_client *client, struct call *call)
{
	for (struct call **at = &client->calls[call->request % BUCKETS]; *at; at = &(*at)->next) {
		if (*at == call) {
			*at = call->next;
			return;
		}
	}
}

bool ipc_client_call(struct ipc_client *client, const struct ipc_out *m, double deadline,
		     struct ipc_reply *reply, struct err *err)
{
	struct cursor header = cursor_make(m->data, m->len);
	struct call call = { .reply = reply };

	*reply = (struct ipc_reply){ 0 };
	cursor_skip(&header, 2);
	call.request = cursor_u32(&header);
	if (m->failed)
		return err_set(err, ERR_LIMIT, "message to %s is too large", client->service);
	if (!client->channel || !ipc_send(client->channel, m))
		return err_set(err, ERR_CLOSED, "no connection to %s", client->service);
	call.next = client->calls[call.request % BUCKETS];
	client->calls[call.request % BUCKETS] = &call;
	while (!call.done) {
		enum task_wait waited = task_event_wait(&call.event, deadline);

		if (waited != TASK_READY && !call.done) {
			forget(client, &call);
			return err_set(err, waited == TASK_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED,
				       "no answer from %s", client->service);
		}
	}
	if (call.lost)
		return err_set(err, ERR_CLOSED, "lost connection to %s", client->service);
	return true;
}

void ipc_reply_free(struct ipc_reply *reply)
{
	for (int i = 0; i < reply->in.fd_count; i++) {
		int fd = ipc_take_fd(&reply->in, i);

		if (fd >= 0)
			close(fd);
	}
	free(reply->storage);
	*reply = (struct ipc_reply){ 0 };
}

bool ipc_client_send(struct ipc_client *client, const struct ipc_out *m)
{
	return client->channel && ipc_send(client->channel, m);
}
