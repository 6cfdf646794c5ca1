/* SPDX-License-Identifier: ISC */
#include "master/service.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/process/control.h"
#include "master/spawn.h"
#include "master/switchboard.h"
#include "master/watch.h"

#define FIRST_DELAY     1.0     /* back-off for processes that die before they have had work */
#define LAST_DELAY      60.0
#define EARLY_SECONDS   10.0    /* dying later than this is no failure to start */
#define EXCLUSIVE_BOUND 30.0    /* a process that its successor waits for finishes within this */
#define KILL_GRACE      3.0     /* from the end of its time to SIGKILL */

static struct {
	struct service *services;
	struct spawn_shared shared;
	uint64_t last_serial;
	bool stopping;
} state = { .shared = { -1, false, -1, -1, NULL } };

struct service *service_first(void)
{
	return state.services;
}

struct service *service_find(const char *name, bool inet)
{
	struct service *s = state.services;

	while (s && !(s->inet == inet && strcmp(s->name, name) == 0))
		s = s->next;
	return s;
}

int service_live(const struct service *service)
{
	int n = 0;

	for (const struct child *c = service->children; c; c = c->next)
		n += !c->retiring;
	return n;
}

void service_set_shared(int log_fd, bool log_is_syslog, int alive_fd)
{
	state.shared.log_fd = log_fd;
	state.shared.log_is_syslog = log_is_syslog;
	state.shared.alive_fd = alive_fd;
}

/* --- what processes say --- */

static void on_peer_gone(struct child *child, const struct ipc_in *m)
{
	uint64_t number;

	if (!ipc_get_u64(m, CONTROL_NUMBER, &number))
		return;
	for (struct given **g = &child->given; *g; g = &(*g)->next) {
		struct given *gone = *g;

		if (gone->number != number)
			continue;
		*g = gone->next;
		free(gone);
		return;
	}
}

void service_hear(struct child *child, struct ipc_in *m)
{
	uint64_t count;

	switch (m->type) {
	case CONTROL_READY:
		child->ready = true;
		watch_ready(child);
		break;
	case CONTROL_WATCH:
		watch_add(child, m);
		break;
	case CONTROL_CONNECT:
		switchboard_connect(child, m);
		break;
	case CONTROL_BUSY:
		if (ipc_get_u64(m, CONTROL_COUNT, &count) && count < 1000000000) {
			child->busy = (long)count;
			child->served = child->served || count > 0;
			if (child->served)
				child->service->delay = 0;
		}
		break;
	case CONTROL_RETIRING:
		service_retire_child(child, 0);
		service_maintain(child->service);
		break;
	case CONTROL_PEER_GONE:
		on_peer_gone(child, m);
		break;
	default:
		log_warning("%s (pid %ld): unexpected message %d", child->service->name, (long)child->pid, m->type);
	}
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	service_hear(context, m);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	struct child *child = context;

	ipc_channel_free(&child->control);
	/* It may have closed it, or sent rubbish: without a channel it is of no use. */
	child->retiring = true;
	if (child->kill_at == 0)
		child->kill_at = loop_now() + KILL_GRACE;
}

/* --- starting --- */

static void on_restart(struct ev_loop *loop, ev_timer *timer, int events)
{
	service_maintain(timer->data);
}

static void on_wakeup(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *service = timer->data;
	struct child *child = NULL;
	struct ipc_out m;

	if (!service->spec || (service->spec->wakeup_if_used && !service->started))
		return;
	for (struct child *c = service->children; c && !child; c = c->next)
		if (!c->retiring && c->control)
			child = c;
	if (!child && service_startable(service))
		child = service_start(service);
	if (!child)
		return;
	ipc_out_start(&m, CONTROL_WAKEUP, 0);
	ipc_send(child->control, &m);
}

static void on_demand(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct service *service = watcher->data;

	if (service_startable(service) && service_live(service) == 0)
		(void)service_start(service);
	service_maintain(service);
}

static void watch_demand(struct service *service, bool on)
{
	for (size_t i = 0; i < service->demand_count; i++)
		ev_io_stop(loop_get(), &service->demand[i]);
	free(service->demand);
	service->demand = NULL;
	service->demand_count = 0;
	if (!on || !service->spec || service->spec->listener_count == 0)
		return;
	service->demand_count = service->spec->listener_count;
	service->demand = mem_alloc(service->demand_count * sizeof(*service->demand));
	for (size_t i = 0; i < service->demand_count; i++) {
		ev_io_init(&service->demand[i], on_demand, service->spec->listeners[i]->fd, EV_READ);
		service->demand[i].data = service;
		ev_io_start(loop_get(), &service->demand[i]);
	}
}

bool service_startable(const struct service *service)
{
	if (state.stopping || !service->spec || ev_is_active(&service->restart))
		return false;
	if (!(service->row->flags & SERVICE_EXCLUSIVE))
		return true;
	return !service->children;
}

/* Puts the next start off: 1, 2, 4 … 60 seconds. */
static void back_off(struct service *service)
{
	service->delay = service->delay == 0 ? FIRST_DELAY : service->delay * 2;
	if (service->delay > LAST_DELAY)
		service->delay = LAST_DELAY;
	ev_timer_stop(loop_get(), &service->restart);
	ev_timer_set(&service->restart, service->delay, 0);
	ev_timer_start(loop_get(), &service->restart);
}

struct child *service_start(struct service *service)
{
	static const struct ipc_protocol protocol = CONTROL_PROTOCOL;
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };
	struct child *child;
	int control = -1;
	pid_t pid = spawn_process(service->spec, &state.shared, &control);

	if (pid < 0) {
		log_warning("start %s: %s", service->spec->path, strerror(errno));
		back_off(service);
		return NULL;
	}
	log_debug(1, "%s: pid %ld", service->name, (long)pid);
	child = mem_alloc(sizeof(*child));
	*child = (struct child){ .next = service->children, .service = service, .serial = ++state.last_serial,
				 .pid = pid, .born = loop_now() };
	service->children = child;
	service->started = true;
	child->control = ipc_channel_create(control, &protocol, &handler, child);
	if (!child->control) {
		kill(pid, SIGKILL);
		child->retiring = true;
		return NULL;
	}
	watch_demand(service, false);
	switchboard_retry(service);
	return child;
}

void service_maintain(struct service *service)
{
	if (state.stopping || !service->spec) {
		watch_demand(service, false);
		return;
	}
	while (service_live(service) < service->spec->prefork && service_startable(service))
		if (!service_start(service))
			break;
	if (service_live(service) == 0 && service->spec->prefork == 0 && service_startable(service)) {
		watch_demand(service, true);
		switchboard_retry(service);
	}
}

/* --- ending --- */

void service_retire_child(struct child *child, double bound)
{
	struct ipc_out m;

	child->retiring = true;
	if (bound > 0 && (child->kill_at == 0 || child->kill_at > loop_now() + bound))
		child->kill_at = loop_now() + bound;
	if (!child->control)
		return;
	ipc_out_start(&m, CONTROL_RETIRE, 0);
	ipc_send(child->control, &m);
}

static void retire_all(struct service *service)
{
	double bound = service->row->flags & SERVICE_EXCLUSIVE ? EXCLUSIVE_BOUND : 0;

	for (struct child *c = service->children; c; c = c->next)
		if (!c->retiring)
			service_retire_child(c, bound);
}

static void log_end(const struct child *child, int status)
{
	const char *path = child->service->spec ? child->service->spec->path : child->service->row->command;

	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warning("process %s pid %ld exit status %d", path, (long)child->pid, WEXITSTATUS(status));
	if (WIFSIGNALED(status) && !(child->terminated && WTERMSIG(status) == SIGTERM))
		log_warning("process %s pid %ld killed by signal %d", path, (long)child->pid, WTERMSIG(status));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		log_error("process %s pid %ld made a system call that its sandbox forbids", path, (long)child->pid);
}

static void free_child(struct child *child)
{
	switchboard_forget(child);
	watch_forget(child);
	for (struct given *g; (g = child->given);) {
		child->given = g->next;
		free(g);
	}
	if (child->control)
		ipc_channel_free(&child->control);
	free(child);
}

static struct child *unlink_child(pid_t pid)
{
	for (struct service *s = state.services; s; s = s->next)
		for (struct child **link = &s->children; *link; link = &(*link)->next)
			if ((*link)->pid == pid) {
				struct child *child = *link;

				*link = child->next;
				return child;
			}
	return NULL;
}

/* Services that no plan wants are kept while they have processes, then forgotten. */
static void free_service_if_gone(struct service *service)
{
	struct service **link = &state.services;

	if (service->spec || service->children)
		return;
	while (*link != service)
		link = &(*link)->next;
	*link = service->next;
	switchboard_forget_service(service);
	watch_demand(service, false);
	ev_timer_stop(loop_get(), &service->restart);
	ev_timer_stop(loop_get(), &service->wakeup);
	free(service->name);
	free(service);
}

void service_reap(pid_t pid, int status)
{
	struct child *child = unlink_child(pid);
	struct service *service;
	bool early;

	if (!child)
		return;
	service = child->service;
	early = !child->served && loop_now() - child->born < EARLY_SECONDS &&
		!(child->retiring && child->ready && status == 0);
	log_end(child, status);
	if (child->replaces && !child->ready && service_live(service) > 0) {
		log_error("%s: the changed files cannot be used: the processes that there are go on", service->name);
		early = false;
	}
	free_child(child);
	if (early && service->spec && !state.stopping) {
		log_warning("%s: bad command startup -- throttling", service->spec->path);
		back_off(service);
	}
	service_maintain(service);
	if (state.stopping)
		return;
	if (service_live(service) > 0)
		switchboard_retry(service);
	free_service_if_gone(service);
}

void service_tick(double now)
{
	for (struct service *s = state.services; s; s = s->next)
		for (struct child *c = s->children; c; c = c->next) {
			if (c->kill_at == 0 || now < c->kill_at)
				continue;
			kill(c->pid, c->terminated ? SIGKILL : SIGTERM);
			c->kill_at = now + CONTROL_LAST_SECONDS + KILL_GRACE;
			c->terminated = true;
		}
}

void service_stop_all(void)
{
	state.stopping = true;
	for (struct service *s = state.services; s; s = s->next) {
		service_maintain(s);
		for (struct child *c = s->children; c; c = c->next) {
			kill(c->pid, SIGTERM);
			c->terminated = true;
			c->kill_at = loop_now() + CONTROL_LAST_SECONDS + KILL_GRACE;
		}
	}
}

void service_kill_all(void)
{
	state.stopping = true;
	for (struct service *s = state.services; s; s = s->next)
		for (struct child *c = s->children; c; c = c->next)
			kill(c->pid, SIGKILL);
}

bool service_any(void)
{
	for (struct service *s = state.services; s; s = s->next)
		if (s->children)
			return true;
	return false;
}

void service_send_log(int fd, bool syslog)
{
	for (struct service *s = state.services; s; s = s->next)
		for (struct child *c = s->children; c; c = c->next) {
			struct ipc_out m;

			if (!c->control)
				continue;
			ipc_out_start(&m, CONTROL_LOG, 0);
			ipc_put_u64(&m, CONTROL_COUNT, syslog);
			ipc_put_fd(&m, fd);
			ipc_send(c->control, &m);
		}
}

/* --- a plan --- */

static struct service *find_or_add(const struct service_spec *spec)
{
	struct service *s = service_find(spec->name, spec->inet);
	struct service **link = &state.services;

	if (s)
		return s;
	s = mem_alloc(sizeof(*s));
	s->name = mem_strdup(spec->name);
	s->inet = spec->inet;
	s->row = spec->row;
	ev_timer_init(&s->restart, on_restart, 0, 0);
	s->restart.data = s;
	ev_timer_init(&s->wakeup, on_wakeup, 0, 0);
	s->wakeup.data = s;
	while (*link)
		link = &(*link)->next;
	*link = s;
	return s;
}

static void renew(struct service *service, const struct service_spec *spec)
{
	watch_demand(service, false);
	retire_all(service);
	service->spec = spec;
	service->row = spec->row;
	service->delay = 0;
	service->started = false;
	ev_timer_stop(loop_get(), &service->restart);
	ev_timer_stop(loop_get(), &service->wakeup);
	if (spec->wakeup > 0) {
		ev_timer_set(&service->wakeup, spec->wakeup, spec->wakeup);
		ev_timer_start(loop_get(), &service->wakeup);
	}
}

void service_apply(const struct plan *plan)
{
	struct service *next;

	state.shared.main_cf_fd = plan->main_cf;
	state.shared.environment = plan->environment.variable;
	for (struct service *s = state.services; s; s = s->next) {
		watch_demand(s, false);
		s->spec = NULL;
	}
	for (const struct service_spec *spec = plan->specs; spec; spec = spec->next)
		renew(find_or_add(spec), spec);
	for (struct service *s = state.services; s; s = next) {
		next = s->next;
		if (!s->spec) {
			retire_all(s);
			free_service_if_gone(s);
		}
	}
	for (struct service *s = state.services; s; s = s->next)
		service_maintain(s);
}
