/* SPDX-License-Identifier: ISC */
#include "cleanup/spares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"

#define STOCK_MAX   256
#define STOCK_FIRST 32
#define BATCH_MAX   64
#define RETRY_DELAY 1.0
#define DISCARDS    256

struct batch {
	int directory;
	size_t wanted, made;
	int error;
	struct spare_file files[BATCH_MAX];
};

struct discards {
	int directory;
	size_t count;
	struct spare_file files[DISCARDS];
};

static struct {
	int directory;
	void (*on_change)(const struct cleanup_refusal *refusal);
	struct spare_file files[STOCK_MAX]; /* a ring: first made, first taken */
	size_t first, count, target;
	struct cleanup_refusal refusal; /* code 0: none */
	struct task_group tasks;
	struct task_event wake;
	bool stopped, wanting; /* somebody found nothing */
	double warned;
	struct discards *discards; /* collected while another lot is being removed */
	bool discarding;
} me;

void spares_refusal(int error, struct cleanup_refusal *refusal)
{
	if (error == ENOSPC || error == EDQUOT || error == EFBIG)
		cleanup_refuse(refusal, 452, "4.3.1", "Insufficient system storage");
	else
		cleanup_refuse(refusal, 451, "4.3.0", "Error: queue file write error");
}

/* --- making --- */

static void remove_batch(struct batch *b)
{
	while (b->made > 0) {
		b->made--;
		unlinkat(b->directory, b->files[b->made].id, 0);
		close(b->files[b->made].fd);
	}
}

/* In a worker thread. */
static void make_batch(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->wanted; i++) {
		struct spare_file *file = &b->files[b->made];

		if (b->made != i)
			memcpy(file->id, b->files[i].id, sizeof(file->id));
		file->fd = openat(b->directory, file->id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (file->fd < 0 && errno == EEXIST)
			continue;
		if (file->fd < 0) {
			b->error = errno;
			break;
		}
		flock(file->fd, LOCK_EX | LOCK_NB);
		b->made++;
	}
	/* A name that is not durable must not be handed out: a commit syncs the file only. */
	if (b->made > 0 && fsync(b->directory) < 0) {
		b->error = errno;
		remove_batch(b);
	}
}

static void keep_files(struct batch *b)
{
	for (size_t i = 0; i < b->made; i++)
		me.files[(me.first + me.count++) % STOCK_MAX] = b->files[i];
}

static void fill_once(struct batch *b)
{
	if (me.wanting && me.target < STOCK_MAX)
		me.target *= 2;
	me.wanting = false;
	b->directory = me.directory;
	b->made = 0;
	b->error = 0;
	b->wanted = me.target - me.count;
	if (b->wanted > BATCH_MAX)
		b->wanted = BATCH_MAX;
	for (size_t i = 0; i < b->wanted; i++)
		message_id_make(b->files[i].id, (unsigned)getpid());
	task_offload(make_batch, b);
	keep_files(b);
	if (b->made > 0) {
		me.refusal.code = 0;
		me.on_change(NULL);
		return;
	}
	spares_refusal(b->error, &me.refusal);
	if (loop_now() > me.warned + 30) {
		log_warning("create queue file: %s", strerror(b->error));
		me.warned = loop_now();
	}
	me.on_change(&me.refusal);
	task_sleep(RETRY_DELAY);
}

static void fill(void *arg)
{
	struct batch *b = mem_alloc(sizeof(*b));

	while (!task_cancelled() && !me.stopped) {
		if (me.count > me.target / 2)
			task_event_wait(&me.wake, TASK_FOREVER);
		else
			fill_once(b);
	}
	free(b);
}

bool spares_take(struct spare_file *spare, struct cleanup_refusal *refusal)
{
	refusal->code = 0;
	if (me.count == 0) {
		*refusal = me.refusal;
		me.wanting = true;
		return false;
	}
	*spare = me.files[me.first];
	me.first = (me.first + 1) % STOCK_MAX;
	if (--me.count <= me.target / 2)
		task_event_signal(&me.wake);
	return true;
}

/* --- removing --- */

/* In a worker thread. */
static void remove_files(void *arg)
{
	struct discards *d = arg;

	for (size_t i = 0; i < d->count; i++) {
		unlinkat(d->directory, d->files[i].id, 0);
		close(d->files[i].fd);
	}
}

static void discard_all(void *arg)
{
	while (me.discards) {
		struct discards *d = me.discards;

		me.discards = NULL;
		task_offload(remove_files, d);
		free(d);
	}
	me.discarding = false;
}

void spares_discard(const char *id, int fd)
{
	if (me.discards && me.discards->count == DISCARDS) {
		/* The worker does not keep up: do it here. */
		unlinkat(me.directory, id, 0);
		close(fd);
		return;
	}
	if (!me.discards) {
		me.discards = mem_alloc(sizeof(*me.discards));
		me.discards->directory = me.directory;
	}
	struct spare_file *file = &me.discards->files[me.discards->count++];

	snprintf(file->id, sizeof(file->id), "%s", id);
	file->fd = fd;
	if (!me.discarding) {
		me.discarding = true;
		if (!task_spawn(&me.tasks, discard_all, NULL))
			discard_all(NULL);
	}
}

/* --- life --- */

void spares_start(int directory, void (*on_change)(const struct cleanup_refusal *refusal))
{
	me.directory = directory;
	me.on_change = on_change;
	me.target = STOCK_FIRST;
	me.stopped = false;
	if (!task_spawn(&me.tasks, fill, NULL))
		log_fatal("cannot start a task");
}

void spares_stop(void)
{
	me.stopped = true;
	task_group_cancel(&me.tasks);
	task_group_run(&me.tasks);
	spares_retire();
	me.first = 0;
	me.refusal.code = 0;
}

void spares_retire(void)
{
	struct spare_file spare;
	struct cleanup_refusal refusal;

	me.stopped = true;
	while (spares_take(&spare, &refusal)) {
		unlinkat(me.directory, spare.id, 0);
		close(spare.fd);
	}
}
