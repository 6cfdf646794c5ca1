/* SPDX-License-Identifier: ISC */
/*
 * Tasks: straight-line code for thousands of conversations in one thread.
 *
 * A task is a coroutine with a pooled stack and a guard page.  It runs until
 * it waits; every wait has a deadline (in seconds of loop_now(), or
 * TASK_FOREVER for a wait that only its owner ends), and ends with one of
 * enum task_wait.  Cancelling makes the present and each later wait of the
 * task return TASK_CANCELLED at once, so that it unwinds by returning.
 *
 * The loop is libev's.  Callbacks of the loop run on the main stack and must
 * not wait; they resume tasks or spawn them.
 */
#ifndef POSTRIDER_COMMON_BASE_TASK_H
#define POSTRIDER_COMMON_BASE_TASK_H

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;
struct task;

#define TASK_FOREVER 1e18

enum task_wait { TASK_READY, TASK_TIMEOUT, TASK_CANCELLED };

/* The loop; made at first use.  loop_now() is its time: wall-clock seconds. */
struct ev_loop *loop_get(void);
double loop_now(void);
/* Runs until loop_stop(), or until nothing is left to wait for. */
void loop_run(void);
void loop_stop(void);
/*
 * A group owns tasks: cancel all, wait for all.  Embedded in its owner and
 * zeroed; must be empty when the owner goes.
 */
struct task_group {
	struct task *first;
	size_t count;
	void (*on_empty)(void *context); /* optional: called on the main stack */
	void *context;
};

void task_group_cancel(struct task_group *group);
void task_group_run(struct task_group *group);  /* runs the loop until the group is empty (tests, commands) */

/*
 * Starts fn(arg) as a task of `group`, at the next turn of the loop.  The task ends when fn
 * returns.  NULL when no stack can be had (say so to the peer, do not abort).
 */
struct task *task_spawn(struct task_group *group, void (*fn)(void *arg), void *arg);
struct task *task_current(void);                 /* NULL on the main stack */
void task_cancel(struct task *task);
bool task_cancelled(void);                       /* was the current task cancelled? */
size_t task_count(void);

/* events: TASK_READ, TASK_WRITE or both. */
#define TASK_READ  1
#define TASK_WRITE 2
enum task_wait task_wait_fd(int fd, int events, double deadline);
enum task_wait task_sleep(double seconds);
/* Lets others run: back at the next turn of the loop. */
enum task_wait task_yield(void);

/*
 * An event that tasks wait for and others signal.  Zeroed at start.  A signal
 * wakes those who wait now; it is not remembered: test the condition in a
 * loop around the wait.
 */
struct task_event {
	struct task *first;
};
enum task_wait task_event_wait(struct task_event *event, double deadline);
void task_event_signal(struct task_event *event);     /* wakes the first */
void task_event_broadcast(struct task_event *event);  /* wakes all */

/*
 * Waits until *done, which who signals the event has set, also when the task is
 * cancelled: for what must have ended before the caller's memory goes.
 */
void task_event_join(struct task_event *event, const bool *done);

/*
 * Runs work(arg) in a worker thread (fsync, slow library calls) and suspends
 * the task till it is done; a deadline does not apply, work must be finite.
 * Cancelling does not shorten it.  `threads` side by side at most (set before first use; 8).
 */
void task_offload(void (*work)(void *arg), void *arg);
void task_offload_threads(int threads);

/* Waits for fd with a persistent watcher (no epoll_ctl a wait): what streams use. */
struct task_io;
struct task_io *task_io_create(int fd);
void task_io_free(struct task_io **io);               /* before the fd is closed */
enum task_wait task_io_wait(struct task_io *io, int events, double deadline);

#endif
