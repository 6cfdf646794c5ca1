/* SPDX-License-Identifier: ISC */
#include "master/watch.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"
#include "common/process/control.h"
#include "common/process/file_stamp.h"

#define FILES_MAX     64       /* of one process */
#define START_SECONDS 30.0     /* in which a replacement must be ready */

void watch_add(struct child *child, const struct ipc_in *m)
{
	struct watched *w;
	struct slice path;
	size_t count = 0;

	/* Later it is in the hands of whoever it serves, and we look at files as root. */
	if (child->ready || !ipc_get_bytes(m, CONTROL_TEXT, &path) || path.len > 1024)
		return;
	for (w = child->files; w; w = w->next)
		count++;
	if (count == FILES_MAX)
		return;
	w = mem_alloc(sizeof(*w) + path.len + 1);
	memcpy(w->path, path.ptr, path.len);
	if (!ipc_get_u64(m, CONTROL_NUMBER, &w->stamp)) {
		free(w);
		return;
	}
	w->next = child->files;
	child->files = w;
}

void watch_forget(struct child *child)
{
	struct watched *w;

	while ((w = child->files)) {
		child->files = w->next;
		free(w);
	}
}

/* What the files look like now; *changed names one that this process has not read so. */
static uint64_t look_at(const struct child *child, const char **changed)
{
	uint64_t all = 1;

	for (const struct watched *w = child->files; w; w = w->next) {
		uint64_t now = file_stamp(w->path);

		all = all * 0x100000001b3u ^ now;
		/* One that is away comes back, or is missed by nobody who has it read. */
		if (now != 0 && now != w->stamp)
			*changed = w->path;
	}
	return all;
}

static const struct child *newest_with_files(const struct service *service)
{
	const struct child *child = service->children;

	while (child && (!child->ready || child->retiring || !child->files))
		child = child->next;
	return child;
}

static bool replacing(const struct service *service)
{
	for (const struct child *c = service->children; c; c = c->next)
		if (c->replaces && !c->ready)
			return true;
	return false;
}

static void look_at_service(struct service *service)
{
	const struct child *child = newest_with_files(service);
	const char *changed = NULL;
	struct child *fresh;
	uint64_t seen;

	if (!child || replacing(service) || !service_startable(service))
		return;
	seen = look_at(child, &changed);
	if (!changed || seen != service->files_seen || seen == service->files_tried) {
		service->files_seen = seen; /* it may be in the middle of being written */
		return;
	}
	service->files_tried = seen;
	log_info("%s: %s has changed: starting anew", service->name, changed);
	fresh = service_start(service);
	if (fresh) {
		fresh->replaces = true;
		fresh->kill_at = loop_now() + START_SECONDS;
	}
}

void watch_look(void)
{
	for (struct service *s = service_first(); s; s = s->next)
		look_at_service(s);
}

void watch_ready(struct child *child)
{
	if (!child->replaces)
		return;
	child->kill_at = 0;
	for (struct child *c = child->service->children; c; c = c->next)
		if (c != child && !c->retiring && c->serial < child->serial)
			service_retire_child(c, 0);
	service_maintain(child->service);
}
