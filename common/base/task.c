/* SPDX-License-Identifier: ISC */
/*
 * Stacks are entered once with makecontext and then switched with
 * sigsetjmp/siglongjmp, which makes no system call.  This file is compiled
 * without _FORTIFY_SOURCE, whose longjmp check takes a change of stack for an attack.
 */
#include <ev.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/task.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE (1024u * 1024)
#else
#define STACK_SIZE (128u * 1024)
#endif
#define GUARD_SIZE  4096u
#define POOL_STACKS 256

struct task {
	sigjmp_buf env;
	void *stack;              /* mapping: guard page, then STACK_SIZE */
	bool entered;             /* the stack runs already (pooled) */
	void (*fn)(void *arg);
	void *arg;
	struct task_group *group;
	struct task *group_prev, *group_next;
	struct task *queue_next;  /* run queue */
	bool queued;
	bool waiting;             /* suspended in a wait that may be ended from outside */
	bool cancelled;
	bool finished;
	enum task_wait result;
	struct task_event *event; /* the event it waits for */
	struct task *event_prev, *event_next;
	struct ev_timer timer;
	void *fake_stack;         /* ASan's */
};

static struct {
	struct ev_loop *loop;
	struct ev_prepare prepare;
	struct ev_idle idle;
	struct task *current;
	sigjmp_buf main_env;
	struct task *run_first, *run_last;
	struct task *pool;
	size_t pooled;
	size_t tasks;
	struct task_group *awaited; /* by task_group_run */
	void *main_fake_stack;
	const void *main_stack_bottom;
	size_t main_stack_size;
} sched;

static void run_queue(void);

static void on_prepare(struct ev_loop *loop, struct ev_prepare *w, int events)
{
	run_queue();
}

static void on_idle(struct ev_loop *loop, struct ev_idle *w, int events)
{
}

struct ev_loop *loop_get(void)
{
	if (!sched.loop) {
		sched.loop = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV);
		if (!sched.loop)
			log_fatal("cannot make an event loop");
		ev_prepare_init(&sched.prepare, on_prepare);
		ev_prepare_start(sched.loop, &sched.prepare);
		ev_unref(sched.loop);
		ev_idle_init(&sched.idle, on_idle);
	}
	return sched.loop;
}

double loop_now(void)
{
	return ev_now(loop_get());
}

void loop_run(void)
{
	struct ev_loop *loop = loop_get();

	/* What tasks queued before the loop ran must not be waited over. */
	ev_run(loop, 0);
}

void loop_stop(void)
{
	ev_break(loop_get(), EVBREAK_ALL);
}

/* --- switching --- */

static void asan_leave(void **save, const void *bottom, size_t size)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(save, bottom, size);
#else
	(void)save;
	(void)bottom;
	(void)size;
#endif
}

static void asan_arrive(void *saved, const void **bottom, size_t *size)
{
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(saved, bottom, size);
#else
	(void)saved;
	(void)bottom;
	(void)size;
#endif
}

static void *stack_bottom(const struct task *t)
{
	return (char *)t->stack + GUARD_SIZE;
}

static void back_to_main(struct task *t)
{
	asan_leave(&t->fake_stack, sched.main_stack_bottom, sched.main_stack_size);
	if (sigsetjmp(t->env, 0) == 0)
		siglongjmp(sched.main_env, 1);
	asan_arrive(t->fake_stack, &sched.main_stack_bottom, &sched.main_stack_size);
}

/* Bottom of each stack: runs one task after another as the pool hands them out. */
static void stack_entry(void)
{
	asan_arrive(NULL, &sched.main_stack_bottom, &sched.main_stack_size);
	for (;;) {
		struct task *t = sched.current;

		t->fn(t->arg);
		t->finished = true;
		back_to_main(t);
	}
}

static void enter_stack(struct task *t)
{
	/* Not on the stack: this frame never returns, and ASan would keep its edges poisoned. */
	static ucontext_t context;

	t->entered = true;
	getcontext(&context);
	context.uc_stack.ss_sp = stack_bottom(t);
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = NULL;
	makecontext(&context, stack_entry, 0);
	setcontext(&context);
	log_panic("setcontext failed");
}

static void resume(struct task *t)
{
	sched.current = t;
	asan_leave(&sched.main_fake_stack, stack_bottom(t), STACK_SIZE);
	if (sigsetjmp(sched.main_env, 0) == 0) {
		if (t->entered)
			siglongjmp(t->env, 1);
		enter_stack(t);
	}
	asan_arrive(sched.main_fake_stack, NULL, NULL);
	sched.current = NULL;
}

/* --- life of a task --- */

static struct task *task_make(void)
{
	struct task *t = sched.pool;

	if (t) {
		sched.pool = t->queue_next;
		sched.pooled--;
		return t;
	}
	void *map = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(map, GUARD_SIZE, PROT_NONE) != 0) {
		munmap(map, GUARD_SIZE + STACK_SIZE);
		return NULL;
	}
	t = mem_alloc(sizeof(*t));
	t->stack = map;
	return t;
}

static void task_unmake(struct task *t)
{
	if (sched.pooled < POOL_STACKS) {
		t->queue_next = sched.pool;
		sched.pool = t;
		sched.pooled++;
		return;
	}
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(stack_bottom(t), STACK_SIZE);
#endif
	munmap(t->stack, GUARD_SIZE + STACK_SIZE);
	free(t);
}

static void group_remove(struct task *t)
{
	struct task_group *group = t->group;

	if (t->group_prev)
		t->group_prev->group_next = t->group_next;
	else
		group->first = t->group_next;
	if (t->group_next)
		t->group_next->group_prev = t->group_prev;
	group->count--;
	sched.tasks--;
	/* Or the loop would still wait for the next event of others. */
	if (group->count == 0 && group == sched.awaited)
		ev_break(loop_get(), EVBREAK_ONE);
	if (group->count == 0 && group->on_empty)
		group->on_empty(group->context);
}

static void enqueue(struct task *t)
{
	t->queued = true;
	t->queue_next = NULL;
	if (sched.run_last)
		sched.run_last->queue_next = t;
	else
		sched.run_first = t;
	sched.run_last = t;
	/* Keeps the loop from blocking while somebody can run. */
	if (!ev_is_active(&sched.idle))
		ev_idle_start(loop_get(), &sched.idle);
}

static struct task *dequeue(void)
{
	struct task *t = sched.run_first;

	sched.run_first = t->queue_next;
	if (!sched.run_first)
		sched.run_last = NULL;
	t->queued = false;
	return t;
}

/*
 * Runs all that can run, and whom they wake, but gives the loop its turn
 * before the last of a chain that never ends.
 */
static void run_queue(void)
{
	size_t budget = sched.tasks * 2 + 64;

	while (sched.run_first && budget-- > 0) {
		struct task *t = dequeue();

		resume(t);
		if (t->finished) {
			group_remove(t);
			task_unmake(t);
		}
	}
	if (!sched.run_first)
		ev_idle_stop(loop_get(), &sched.idle);
}

struct task *task_spawn(struct task_group *group, void (*fn)(void *arg), void *arg)
{
	struct task *t = task_make();

	if (!t)
		return NULL;
	t->fn = fn;
	t->arg = arg;
	t->group = group;
	t->cancelled = t->finished = t->waiting = false;
	t->event = NULL;
	t->group_prev = NULL;
	t->group_next = group->first;
	if (group->first)
		group->first->group_prev = t;
	group->first = t;
	group->count++;
	sched.tasks++;
	enqueue(t);
	return t;
}

struct task *task_current(void)
{
	return sched.current;
}

bool task_cancelled(void)
{
	return sched.current && sched.current->cancelled;
}

size_t task_count(void)
{
	return sched.tasks;
}

/* --- waiting --- */

static void event_unlink(struct task *t)
{
	struct task_event *event = t->event;

	if (!event)
		return;
	t->event = NULL;
	if (t->event_next == t) {
		event->first = NULL;
		return;
	}
	t->event_prev->event_next = t->event_next;
	t->event_next->event_prev = t->event_prev;
	if (event->first == t)
		event->first = t->event_next;
}

/* Ends the wait of a task; false when another cause has ended it before. */
static bool wake(struct task *t, enum task_wait result)
{
	if (!t->waiting)
		return false;
	t->waiting = false;
	t->result = result;
	event_unlink(t);
	enqueue(t);
	return true;
}

static void on_deadline(struct ev_loop *loop, struct ev_timer *w, int events)
{
	wake(w->data, TASK_TIMEOUT);
}

/* Suspends until wake(); the caller has armed whatever may call it. */
static enum task_wait suspend(double deadline)
{
	struct task *t = sched.current;
	bool timed = deadline < TASK_FOREVER;

	BUG_IF(!t);
	if (timed) {
		double after = deadline - loop_now();

		ev_timer_init(&t->timer, on_deadline, after > 0 ? after : 0, 0);
		t->timer.data = t;
		ev_timer_start(loop_get(), &t->timer);
	}
	t->waiting = true;
	back_to_main(t);
	if (timed)
		ev_timer_stop(loop_get(), &t->timer);
	return t->result;
}

void task_cancel(struct task *task)
{
	task->cancelled = true;
	wake(task, TASK_CANCELLED);
}

void task_group_cancel(struct task_group *group)
{
	for (struct task *t = group->first; t; t = t->group_next)
		task_cancel(t);
}

void task_group_run(struct task_group *group)
{
	struct task_group *outer = sched.awaited;

	sched.awaited = group;
	while (group->count > 0)
		ev_run(loop_get(), EVRUN_ONCE);
	sched.awaited = outer;
	ev_now_update(loop_get()); /* a break leaves the loop before it reads the clock */
}

enum task_wait task_sleep(double seconds)
{
	if (task_cancelled())
		return TASK_CANCELLED;
	return suspend(loop_now() + seconds) == TASK_CANCELLED ? TASK_CANCELLED : TASK_READY;
}

enum task_wait task_yield(void)
{
	return task_sleep(0);
}

static void on_io(struct ev_loop *loop, struct ev_io *w, int events)
{
	/* Stopped here and started in the next wait: no system call when both fall into one turn. */
	ev_io_stop(loop, w);
	if (w->data)
		wake(w->data, TASK_READY);
}

static int io_events(int events)
{
	return (events & TASK_READ ? EV_READ : 0) | (events & TASK_WRITE ? EV_WRITE : 0);
}

enum task_wait task_wait_fd(int fd, int events, double deadline)
{
	struct ev_io io;
	enum task_wait result;

	if (task_cancelled())
		return TASK_CANCELLED;
	ev_io_init(&io, on_io, fd, io_events(events));
	io.data = sched.current;
	ev_io_start(loop_get(), &io);
	result = suspend(deadline);
	ev_io_stop(loop_get(), &io);
	return result;
}

struct task_io {
	struct ev_io io;
};

struct task_io *task_io_create(int fd)
{
	struct task_io *io = mem_alloc(sizeof(*io));

	ev_io_init(&io->io, on_io, fd, EV_READ);
	return io;
}

void task_io_free(struct task_io **io)
{
	if (!*io)
		return;
	ev_io_stop(loop_get(), &(*io)->io);
	free(*io);
	*io = NULL;
}

enum task_wait task_io_wait(struct task_io *io, int events, double deadline)
{
	enum task_wait result;
	int wanted = io_events(events);

	if (task_cancelled())
		return TASK_CANCELLED;
	BUG_IF(io->io.data);
	if ((io->io.events & (EV_READ | EV_WRITE)) != wanted) {
		ev_io_stop(loop_get(), &io->io);
		ev_io_set(&io->io, io->io.fd, wanted);
	}
	io->io.data = sched.current;
	ev_io_start(loop_get(), &io->io);
	result = suspend(deadline);
	io->io.data = NULL;
	if (result != TASK_READY)
		ev_io_stop(loop_get(), &io->io);
	return result;
}

static void event_link(struct task_event *event, struct task *t)
{
	t->event = event;
	if (event->first) {
		t->event_next = event->first;
		t->event_prev = event->first->event_prev;
		t->event_prev->event_next = t;
		event->first->event_prev = t;
	} else {
		t->event_next = t->event_prev = t;
		event->first = t;
	}
}

enum task_wait task_event_wait(struct task_event *event, double deadline)
{
	if (task_cancelled())
		return TASK_CANCELLED;
	event_link(event, sched.current);
	return suspend(deadline);
}

void task_event_join(struct task_event *event, const bool *done)
{
	while (!*done) {
		event_link(event, sched.current);
		suspend(TASK_FOREVER);
	}
}

void task_event_signal(struct task_event *event)
{
	if (event->first)
		wake(event->first, TASK_READY);
}

void task_event_broadcast(struct task_event *event)
{
	while (event->first)
		wake(event->first, TASK_READY);
}
