/* SPDX-License-Identifier: ISC */
/* Worker threads for what would block: one queue, started when first needed. */
#include <ev.h>
#include <pthread.h>
#include <signal.h>

#include "common/base/log.h"
#include "common/base/task.h"

struct job {
	void (*work)(void *arg);
	void *arg;
	struct job *next;
	bool done;
	struct task_event finished;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct job *first, *last; /* to be done */
	struct job *done;         /* to be told */
	int threads, idle, limit;
	int outstanding;          /* loop's side */
	bool notified;            /* the loop has been woken and not looked yet */
	bool ready;
	struct ev_async async;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER, .limit = 8 };

static void *worker(void *arg)
{
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct job *job;
		bool tell;

		pool.idle++;
		while (!pool.first)
			pthread_cond_wait(&pool.wanted, &pool.lock);
		pool.idle--;
		job = pool.first;
		pool.first = job->next;
		if (!pool.first)
			pool.last = NULL;
		pthread_mutex_unlock(&pool.lock);
		job->work(job->arg);
		pthread_mutex_lock(&pool.lock);
		job->next = pool.done;
		pool.done = job;
		tell = !pool.notified;
		pool.notified = true;
		if (tell)
			ev_async_send(loop_get(), &pool.async);
	}
	return NULL;
}

static void on_done(struct ev_loop *loop, struct ev_async *w, int events)
{
	struct job *done;

	pthread_mutex_lock(&pool.lock);
	done = pool.done;
	pool.done = NULL;
	pool.notified = false;
	pthread_mutex_unlock(&pool.lock);
	while (done) {
		struct job *next = done->next;

		done->done = true;
		task_event_signal(&done->finished);
		if (--pool.outstanding == 0)
			ev_unref(loop_get());
		done = next;
	}
}

static void start_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the loop's */
	if (pthread_create(&thread, &attr, worker, NULL) == 0)
		pool.threads++;
	else if (pool.threads == 0)
		log_fatal("cannot start a worker thread");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void task_offload_threads(int threads)
{
	pool.limit = threads > 0 ? threads : 1;
}

static void post(struct job *job)
{
	bool more;

	if (!pool.ready) {
		ev_async_init(&pool.async, on_done);
		ev_async_start(loop_get(), &pool.async);
		ev_unref(loop_get());
		pool.ready = true;
	}
	if (pool.outstanding++ == 0)
		ev_ref(loop_get());
	pthread_mutex_lock(&pool.lock);
	if (pool.last)
		pool.last->next = job;
	else
		pool.first = job;
	pool.last = job;
	more = pool.idle == 0 && pool.threads < pool.limit;
	pthread_cond_signal(&pool.wanted);
	pthread_mutex_unlock(&pool.lock);
	if (more)
		start_thread();
}

void task_offload(void (*work)(void *arg), void *arg)
{
	struct job job = { .work = work, .arg = arg };

	if (!task_current()) {
		work(arg);
		return;
	}
	post(&job);
	task_event_join(&job.finished, &job.done);
}
