/* SPDX-License-Identifier: ISC */
#include "master/switchboard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/process/control.h"

#define WAIT_SECONDS    10.0
#define MAX_WAITING     10000
#define MAX_WAITING_OF  100     /* requests of one process */
/* From one process to another: more than any needs, few enough to leave others descriptors. */
#define MAX_CONNECTIONS 1000

/* An asker whose service has no process at the moment. */
struct waiting {
	struct waiting *next;
	struct child *asker;
	struct service *service;
	uint32_t request;
	double until;
};

static struct waiting *queue;
static size_t queue_length;
static uint64_t last_number;

static void refuse(struct child *asker, uint32_t request, enum err_code code, const char *service, const char *why)
{
	struct str text = { 0 };
	struct ipc_out m;

	if (!asker->control)
		return;
	str_printf(&text, "connect to service %s: %s", service, why);
	ipc_out_start(&m, CONTROL_CONNECTED, request);
	ipc_put_u64(&m, CONTROL_CODE, (uint64_t)code);
	ipc_put_bytes(&m, CONTROL_TEXT, str_slice(&text));
	ipc_send(asker->control, &m);
	str_free(&text);
}

static size_t given_count(const struct child *child, const struct child *asker)
{
	size_t n = 0;

	for (const struct given *g = child->given; g; g = g->next)
		if (g->asker == asker->serial)
			n++;
	return n;
}

/* The one that has fewest connections with the asker; among equals the least busy. */
static struct child *least_connected(const struct service *service, const struct child *asker, size_t *connections)
{
	struct child *best = NULL;

	for (struct child *c = service->children; c; c = c->next) {
		size_t n;

		if (c->retiring || !c->control)
			continue;
		n = given_count(c, asker);
		if (!best || n < *connections || (n == *connections && c->busy < best->busy)) {
			best = c;
			*connections = n;
		}
	}
	return best;
}

static bool send_peer(struct child *server, const struct child *asker, int fd)
{
	struct given *given;
	struct ipc_out m;

	ipc_out_start(&m, CONTROL_PEER, 0);
	ipc_put_text(&m, CONTROL_ROLE, asker->service->row->command);
	ipc_put_u64(&m, CONTROL_NUMBER, ++last_number);
	ipc_put_fd(&m, fd);
	if (!ipc_send(server->control, &m))
		return false;
	given = mem_alloc(sizeof(*given));
	*given = (struct given){ .next = server->given, .number = last_number, .asker = asker->serial };
	server->given = given;
	return true;
}

static void wait_for_process(struct child *asker, uint32_t request, struct service *service)
{
	struct waiting *w, **link = &queue;
	size_t mine = 0;

	for (; *link; link = &(*link)->next)
		mine += (*link)->asker == asker;
	if (queue_length >= MAX_WAITING || mine >= MAX_WAITING_OF) {
		refuse(asker, request, ERR_TEMPORARY, service->name, "too many wait for it");
		return;
	}
	w = mem_alloc(sizeof(*w));
	*w = (struct waiting){ .asker = asker, .service = service, .request = request,
			       .until = loop_now() + WAIT_SECONDS };
	*link = w;
	queue_length++;
}

static void join(struct child *asker, uint32_t request, struct child *server)
{
	struct ipc_out m;
	int pair[2];

	if (!asker->control)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_warning("socketpair: %s", strerror(errno));
		refuse(asker, request, ERR_TEMPORARY, server->service->name, "out of descriptors");
		return;
	}
	if (send_peer(server, asker, pair[0])) {
		ipc_out_start(&m, CONTROL_CONNECTED, request);
		ipc_put_fd(&m, pair[1]);
		ipc_send(asker->control, &m);
	} else {
		/* It has ended, and we are about to hear of it: then there is another. */
		wait_for_process(asker, request, server->service);
	}
	close(pair[0]);
	close(pair[1]);
}

static void serve(struct child *asker, uint32_t request, struct service *service)
{
	bool distinct = service->row->flags & SERVICE_DISTINCT;
	size_t connections = 0;
	struct child *server = least_connected(service, asker, &connections);

	if (!server || (distinct && connections > 0)) {
		bool room = service->spec && service_live(service) < service->spec->limit;
		struct child *fresh = room && service_startable(service) ? service_start(service) : NULL;

		if (!fresh && server && distinct) {
			refuse(asker, request, ERR_TEMPORARY, service->name, "process limit reached");
			return;
		}
		server = fresh;
		connections = 0;
	}
	if (!server)
		wait_for_process(asker, request, service);
	else if (connections >= MAX_CONNECTIONS)
		refuse(asker, request, ERR_TEMPORARY, service->name, "too many connections");
	else
		join(asker, request, server);
}

void switchboard_connect(struct child *asker, struct ipc_in *m)
{
	const char *command = asker->service->row->command;
	struct slice text;
	char name[128];
	struct service *service;

	if (!ipc_get_bytes(m, CONTROL_SERVICE, &text) || text.len == 0 || text.len >= sizeof(name)) {
		refuse(asker, m->request, ERR_PERMANENT, "?", "no name of a service");
		return;
	}
	snprintf(name, sizeof(name), "%.*s", SLICE_FMT(text));
	service = service_find(name, false);
	if (!service || !service->spec) {
		refuse(asker, m->request, ERR_TEMPORARY, name, "master.cf has no such service");
		return;
	}
	if (!service_row_allows(service->row, command)) {
		log_warning("%s (pid %ld) asks for service %s, which is not for it", command, (long)asker->pid, name);
		refuse(asker, m->request, ERR_PERMANENT, name, "not allowed");
		return;
	}
	serve(asker, m->request, service);
}

static void unlink_waiting(struct waiting **link)
{
	struct waiting *w = *link;

	*link = w->next;
	queue_length--;
	free(w);
}

void switchboard_retry(struct service *service)
{
	struct waiting **link = &queue;
	struct waiting *mine = NULL, **end = &mine;

	/* Off the queue first: serving may put them there again. */
	while (*link) {
		struct waiting *w = *link;

		if (w->service != service) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		w->next = NULL;
		*end = w;
		end = &w->next;
		queue_length--;
	}
	while (mine) {
		struct waiting *w = mine;

		mine = w->next;
		serve(w->asker, w->request, service);
		free(w);
	}
}

/* Refuses those who wait for `service` (NULL: any) and whose time ends before `now`. */
static void refuse_waiting(const struct service *service, double now)
{
	struct waiting **link = &queue;

	while (*link) {
		struct waiting *w = *link;

		if (now < w->until || (service && w->service != service)) {
			link = &w->next;
			continue;
		}
		refuse(w->asker, w->request, ERR_TEMPORARY, w->service->name, "it has no process at this time");
		unlink_waiting(link);
	}
}

void switchboard_tick(double now)
{
	refuse_waiting(NULL, now);
}

void switchboard_forget_service(const struct service *service)
{
	refuse_waiting(service, TASK_FOREVER);
}

void switchboard_forget(const struct child *child)
{
	struct waiting **link = &queue;

	while (*link) {
		if ((*link)->asker == child)
			unlink_waiting(link);
		else
			link = &(*link)->next;
	}
	for (struct service *s = service_first(); s; s = s->next)
		for (struct child *c = s->children; c; c = c->next)
			for (struct given **g = &c->given; *g;) {
				struct given *gone = *g;

				if (gone->asker != child->serial) {
					g = &gone->next;
					continue;
				}
				*g = gone->next;
				free(gone);
			}
}
