/* SPDX-License-Identifier: ISC */
/*
 * Services and their processes as they are: kept as the plan in use wants it.
 * A service outlives a reload; its old processes retire beside the new ones.
 */
#ifndef POSTRIDER_MASTER_SERVICE_H
#define POSTRIDER_MASTER_SERVICE_H

#include <ev.h>

#include "common/net/ipc.h"
#include "master/plan.h"

/* A connection that a process was given by the switchboard. */
struct given {
	struct given *next;
	uint64_t number;
	uint64_t asker;             /* struct child's serial */
};

/* A file that a process has read and that only we can look at. */
struct watched {
	struct watched *next;
	uint64_t stamp;             /* when it was read */
	char path[];
};

struct child {
	struct child *next;
	struct service *service;
	struct ipc_channel *control; /* NULL when closed */
	struct given *given;
	uint64_t serial;            /* never used again, unlike a pid */
	pid_t pid;
	double born;
	long busy;
	struct watched *files;
	bool ready;
	bool replaces;              /* started because a file has changed: the older ones retire when it is ready */
	bool served;                /* has had work */
	bool retiring;
	double kill_at;             /* 0 never: SIGTERM, then SIGKILL */
	bool terminated;
};

struct service {
	struct service *next;
	char *name;
	bool inet;
	const struct service_row *row;
	const struct service_spec *spec;  /* NULL: not in the plan in use */
	struct child *children;
	struct ev_io *demand;       /* watches the listening sockets while there is no process */
	size_t demand_count;
	ev_timer restart;           /* runs while starting is put off */
	ev_timer wakeup;
	double delay;               /* seconds that the next early death puts starting off */
	bool started;               /* has had a process: for wakeup_if_used */
	uint64_t files_seen;        /* master/watch.c: what the files looked like at the last look, and */
	uint64_t files_tried;       /* at the last attempt to start a process with them */
};

struct service *service_first(void);
struct service *service_find(const char *name, bool inet);
/* Makes things as the plan says: starts, retires.  The old plan may be freed afterwards. */
void service_apply(const struct plan *plan);
/* Starts what is missing, unless starting is put off or we stop. */
void service_maintain(struct service *service);
/* Starts one more; NULL when that is not possible now. */
struct child *service_start(struct service *service);
/* May a process be started at this time? */
bool service_startable(const struct service *service);
/* Processes that take new work. */
int service_live(const struct service *service);
/* A process has ended (wait(2) status). */
void service_reap(pid_t pid, int status);
/* Tells a process to take nothing new and to finish; after `bound` seconds (0: never) it is made to. */
void service_retire_child(struct child *child, double bound);
/* Asks all to end; service_any() is false when they have. */
void service_stop_all(void);
void service_kill_all(void);
bool service_any(void);
/* Signals those whose time is up; called every second. */
void service_tick(double now);
/* Hands the new log to all. */
void service_send_log(int fd, bool syslog);

/* What new processes inherit. */
void service_set_shared(int log_fd, bool log_is_syslog, int alive_fd);

#endif
