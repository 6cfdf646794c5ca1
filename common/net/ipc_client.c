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

/*
 * A connection.  One that says farewell (its process retires) is left for those who are in the
 * middle of something, while all that is new goes over another; it closes when the last has gone.
 */
struct ipc_link {
	struct ipc_link *next;       /* in the client's list */
	struct ipc_client *client;
	struct ipc_channel *channel; /* NULL: lost */
	struct call *calls[BUCKETS];
	size_t users;                /* calls in flight and holders */
};

struct ipc_client {
	const char *service;
	const struct ipc_protocol *protocol;
	ipc_connect_fn *connect;
	struct ipc_link *current;    /* NULL: none that new messages go over */
	struct ipc_link *links;
	bool connecting;
	struct task_event connected;
	uint32_t last_request;
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

/* --- links --- */

static void fail_calls(struct ipc_link *link)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (link->calls[i]) {
			struct call *call = link->calls[i];

			link->calls[i] = call->next;
			call->lost = call->done = true;
			task_event_signal(&call->event);
		}
	}
}

/* Frees it when it is neither current nor in use. */
static void link_settle(struct ipc_link *link)
{
	struct ipc_client *client = link->client;

	if (link->users > 0 || (client && client->current == link))
		return;
	if (client) {
		struct ipc_link **at = &client->links;

		while (*at != link)
			at = &(*at)->next;
		*at = link->next;
	}
	ipc_channel_free(&link->channel);
	free(link);
}

/* New messages do not go over it any more. */
static void link_retire(struct ipc_link *link)
{
	struct ipc_client *client = link->client;

	if (!client || client->current != link)
		return;
	client->current = NULL;
	if (client->on_lost)
		client->on_lost(client->lost_context);
}

void ipc_client_free(struct ipc_client **cp)
{
	struct ipc_client *client = *cp;

	if (!client)
		return;
	client->current = NULL;
	while (client->links) {
		struct ipc_link *link = client->links;

		client->links = link->next;
		ipc_channel_free(&link->channel);
		link->client = NULL;
		fail_calls(link);
		link_settle(link);
	}
	free(client);
	*cp = NULL;
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
	struct ipc_link *link = context;
	struct ipc_client *client = link->client;

	for (struct call **at = &link->calls[m->request % BUCKETS]; *at; at = &(*at)->next) {
		struct call *call = *at;

		if (call->request != m->request)
			continue;
		*at = call->next;
		keep_reply(call, m);
		call->done = true;
		task_event_signal(&call->event);
		return;
	}
	if (m->request == 0 && client && client->current == link && client->on_event)
		client->on_event(m, client->event_context);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct ipc_link *link = context;

	ipc_link_hold(link);
	ipc_channel_free(&link->channel);
	link_retire(link);
	fail_calls(link);
	ipc_link_release(&link);
}

static void on_bye(struct ipc_channel *ch, void *context)
{
	struct ipc_link *link = context;

	ipc_link_hold(link);
	link_retire(link);
	ipc_link_release(&link);
}

static const struct ipc_handler handler = { on_message, on_close, on_bye };

bool ipc_client_connect(struct ipc_client *client, double deadline, struct err *err)
{
	while (!client->current && client->connecting) {
		enum task_wait waited = task_event_wait(&client->connected, deadline);

		if (waited != TASK_READY)
			return err_set(err, waited == TASK_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED,
				       "waiting for a connection to %s", client->service);
	}
	if (client->current)
		return true;
	client->connecting = true;
	int fd = client->connect(client->service, deadline, err);

	client->connecting = false;
	if (fd >= 0) {
		struct ipc_link *link = mem_alloc(sizeof(*link));

		link->client = client;
		link->next = client->links;
		client->links = client->current = link;
		link->channel = ipc_channel_create(fd, client->protocol, &handler, link);
	}
	task_event_broadcast(&client->connected);
	return client->current != NULL;
}

struct ipc_link *ipc_client_hold(struct ipc_client *client, double deadline, struct err *err)
{
	if (!ipc_client_connect(client, deadline, err))
		return NULL;
	client->current->users++;
	return client->current;
}

struct ipc_link *ipc_link_hold(struct ipc_link *link)
{
	link->users++;
	return link;
}

bool ipc_link_current(const struct ipc_link *link)
{
	return link->client && link->client->current == link;
}

void ipc_link_release(struct ipc_link **lp)
{
	struct ipc_link *link = *lp;

	if (!link)
		return;
	*lp = NULL;
	link->users--;
	link_settle(link);
}

/* --- messages --- */

uint32_t ipc_client_request(struct ipc_client *client)
{
	if (++client->last_request == 0)
		++client->last_request;
	return client->last_request;
}

static void forget(struct ipc_link *link, struct call *call)
{
	for (struct call **at = &link->calls[call->request % BUCKETS]; *at; at = &(*at)->next) {
		if (*at == call) {
			*at = call->next;
			return;
		}
	}
}

static bool await(struct ipc_link *link, struct call *call, double deadline, const char *service, struct err *err)
{
	while (!call->done) {
		enum task_wait waited = task_event_wait(&call->event, deadline);

		if (waited != TASK_READY && !call->done) {
			forget(link, call);
			return err_set(err, waited == TASK_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED,
				       "no answer from %s", service);
		}
	}
	if (call->lost)
		return err_set(err, ERR_CLOSED, "lost connection to %s", service);
	return true;
}

bool ipc_link_call(struct ipc_link *link, const struct ipc_out *m, double deadline, struct ipc_reply *reply,
		   struct err *err)
{
	const char *service = link->client ? link->client->service : "a service";
	struct cursor header = cursor_make(m->data, m->len);
	struct call call = { .reply = reply };
	bool ok;

	*reply = (struct ipc_reply){ 0 };
	cursor_skip(&header, 2);
	call.request = cursor_u32(&header);
	if (m->failed)
		return err_set(err, ERR_LIMIT, "message to %s is too large", service);
	if (!link->channel || !ipc_send(link->channel, m))
		return err_set(err, ERR_CLOSED, "no connection to %s", service);
	call.next = link->calls[call.request % BUCKETS];
	link->calls[call.request % BUCKETS] = &call;
	link->users++;
	ok = await(link, &call, deadline, service, err);
	ipc_link_release(&link);
	return ok;
}

bool ipc_client_call(struct ipc_client *client, const struct ipc_out *m, double deadline,
		     struct ipc_reply *reply, struct err *err)
{
	*reply = (struct ipc_reply){ 0 };
	if (!client->current)
		return err_set(err, ERR_CLOSED, "no connection to %s", client->service);
	return ipc_link_call(client->current, m, deadline, reply, err);
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

bool ipc_link_send(struct ipc_link *link, const struct ipc_out *m)
{
	return link->channel && ipc_send(link->channel, m);
}

bool ipc_client_send(struct ipc_client *client, const struct ipc_out *m)
{
	return client->current && ipc_link_send(client->current, m);
}
