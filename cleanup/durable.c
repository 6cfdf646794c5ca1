/* SPDX-License-Identifier: ISC */
#include "cleanup/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/task.h"

#define BATCH_MAX 128
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* A task that waits for its file. */
struct waiting {
	struct waiting *next;
	struct durable *item;
	bool done;
	bool woken;             /* done, or it is this one's turn to work */
	struct task_event event;
};

struct batch {
	struct durable *items[BATCH_MAX];
	uint64_t ends[BATCH_MAX];
	size_t count;
};

static struct {
	struct waiting *first, *last;
	bool working;           /* somebody is at work, or has been woken for it */
} me;

bool durable_in_place(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
	       (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC);
}

bool durable_begin(int fd, uint64_t length)
{
	return sync_file_range(fd, 0, (off_t)length, SYNC_FILE_RANGE_WRITE) == 0;
}

bool durable_await(int fd, uint64_t length)
{
	return sync_file_range(fd, 0, (off_t)length, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			       SYNC_FILE_RANGE_WAIT_AFTER) == 0;
}

static void fail(struct durable *item, int error)
{
	item->ok = false;
	item->error = error;
}

/* A sync that failed is not tried again: the kernel may have dropped the pages. */
static void sync_one(struct durable *item)
{
	if (fdatasync(item->fd) < 0)
		fail(item, errno);
}

static bool fits(const struct batch *b, size_t i)
{
	return b->items[i]->ok && b->ends[i] <= b->items[i]->room;
}

/* Those that grew; true when that has flushed the disk already. */
static bool sync_grown(struct batch *b)
{
	bool flushed = false;

	for (size_t i = 0; i < b->count; i++) {
		if (!b->items[i]->ok || fits(b, i))
			continue;
		sync_one(b->items[i]);
		flushed = true;
	}
	return flushed;
}

/* In a worker thread. */
static void store_batch(void *arg)
{
	struct batch *b = arg;
	struct durable *flush = NULL;

	for (size_t i = 0; i < b->count; i++) {
		struct durable *item = b->items[i];

		item->ok = item->write(item, &b->ends[i]);
		if (fits(b, i) && !durable_begin(item->fd, b->ends[i]))
			fail(item, errno);
	}
	for (size_t i = 0; i < b->count; i++) {
		if (!fits(b, i))
			continue;
		if (durable_await(b->items[i]->fd, b->ends[i]))
			flush = b->items[i];
		else
			fail(b->items[i], errno);
	}
	if (sync_grown(b) || !flush || fdatasync(flush->fd) == 0)
		return;
	int error = errno;

	for (size_t i = 0; i < b->count; i++)
		if (fits(b, i))
			fail(b->items[i], error);
}

static void store_alone(void *arg)
{
	struct durable *item = arg;
	uint64_t end;

	item->ok = item->write(item, &end);
	if (item->ok)
		sync_one(item);
}

static void wake(struct waiting *w)
{
	w->woken = true;
	task_event_signal(&w->event);
}

/* One of those who wait does the work of all who have come; what comes meanwhile is for the next. */
static void work(void)
{
	struct waiting *taken[BATCH_MAX];
	struct batch b = { .count = 0 };

	while (me.first && b.count < BATCH_MAX) {
		taken[b.count] = me.first;
		b.items[b.count++] = me.first->item;
		me.first = me.first->next;
	}
	if (!me.first)
		me.last = NULL;
	task_offload(store_batch, &b);
	for (size_t i = 0; i < b.count; i++) {
		taken[i]->done = true;
		wake(taken[i]);
	}
	if (me.first)
		wake(me.first);
	else
		me.working = false;
}

void durable_store(struct durable *item)
{
	struct waiting w = { .item = item };

	item->ok = false;
	item->error = 0;
	if (item->room == 0) {
		task_offload(store_alone, item);
		return;
	}
	if (me.last)
		me.last->next = &w;
	else
		me.first = &w;
	me.last = &w;
	if (me.working)
		task_event_join(&w.event, &w.woken);
	if (w.done)
		return;
	me.working = true;
	work();
}
