/* SPDX-License-Identifier: ISC */
#include "delivery/lib/handoff.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/process/process.h"

#define CONNECT_TIMEOUT 30
#define READY_TIMEOUT   60

/* A delivery that waits for its result. */
struct pass {
	struct pass *next;
	uint32_t id;
	bool done;
	struct outcome outcome;
};

struct link {
	struct link *next;
	char *service;
	struct ipc_channel *channel;
	struct task_event event;
	struct pass *passes;
	size_t users;                 /* tasks that hold it */
	bool ready, closed;
};

static struct link *links;
static uint32_t last_id;

static void keep_result(struct outcome *o, const struct delivery_result *result)
{
	char dsn[sizeof(o->dsn)];

	snprintf(dsn, sizeof(dsn), "%.*s", SLICE_FMT(result->dsn));
	outcome_set(o, result->outcome, dsn, "%.*s", SLICE_FMT(result->text));
	o->action = result->action;
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct link *link = context;
	struct pass *p = link->passes;
	struct delivery_result result;
	struct err err;
	uint32_t slots;

	while (p && p->id != m->request)
		p = p->next;
	if (m->type == DELIVERY_READY && delivery_get_ready(m, &slots, &err)) {
		/* None: it is about to leave, and finishes what it has. */
		link->ready = slots > 0;
		link->closed |= slots == 0;
	} else if (p && m->type == DELIVERY_RESULT && delivery_get_result(m, &result, &err)) {
		keep_result(&p->outcome, &result);
	} else if (p && m->type == DELIVERY_DONE) {
		p->done = true;
	}
	task_event_broadcast(&link->event);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct link *link = context;

	link->closed = true;
	for (struct pass *p = link->passes; p; p = p->next)
		p->done = true;
	ipc_channel_free(&link->channel);
	task_event_broadcast(&link->event);
}

static void release(struct link *link)
{
	struct link **at = &links;

	if (--link->users > 0 || !link->closed)
		return;
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	ipc_channel_free(&link->channel);
	free(link->service);
	free(link);
}

/* NULL: there is no way to that service now. */
static struct link *hold(const char *service)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct link *link = links;
	struct err err;
	int fd;

	while (link && (link->closed || strcmp(link->service, service) != 0))
		link = link->next;
	if (!link) {
		fd = process_connect(service, loop_now() + CONNECT_TIMEOUT, &err);
		if (fd < 0) {
			log_warning("transport %s: %s", service, err.text);
			return NULL;
		}
		link = mem_alloc(sizeof(*link));
		link->service = mem_strdup(service);
		link->channel = ipc_channel_create(fd, &delivery_protocol, &handler, link);
		link->next = links;
		links = link;
	}
	link->users++;
	return link;
}

static void await_ready(struct link *link)
{
	double deadline = loop_now() + READY_TIMEOUT;

	while (!link->ready && !link->closed && task_event_wait(&link->event, deadline) == TASK_READY)
		;
}

bool handoff(const char *service, struct delivery_job *job, struct outcome *o)
{
	struct link *link = hold(service);
	struct pass p = { .id = ++last_id ? last_id : ++last_id };
	struct ipc_out packet;
	struct pass **at;
	size_t next = 0;

	job->id = p.id;
	outcome_set_dsn(o, "4.3.0", "mail transport unavailable");
	if (!link)
		return false;
	await_ready(link);
	p.next = link->passes;
	link->passes = &p;
	if (link->ready && link->channel && delivery_put_job(&packet, job, &next) && ipc_send(link->channel, &packet)) {
		outcome_set_dsn(o, "4.3.0", "delivery agent gave no answer");
		/* Its own time limits end it; ours would deliver twice. */
		task_event_join(&link->event, &p.done);
	}
	for (at = &link->passes; *at != &p;)
		at = &(*at)->next;
	*at = p.next;
	release(link);
	if (p.outcome.outcome)
		*o = p.outcome;
	return p.outcome.outcome != 0;
}
