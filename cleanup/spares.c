/* SPDX-License-Identifier: ISC */
#include "cleanup/spares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup/reuse.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define STOCK_MAX   256
#define STOCK_FIRST 32
#define BATCH_MAX   64
#define RETRY_DELAY 1.0
#define DISCARDS    256
#define RETURNED    1024

struct batch {
	int directory;
	size_t wanted, made;
	size_t returned;     /* so many of the names, from the first on, are of files to use again */
	int error;
	struct queue_slot slots[BATCH_MAX];
};

struct discards {
	int directory;
	size_t count;
	struct queue_slot slots[DISCARDS];
};

static struct {
	int directory;
	void (*on_change)(const struct cleanup_refusal *refusal);
	struct queue_slot slots[STOCK_MAX]; /* a ring: first made, first taken */
	size_t first, count, target;
	char returned[RETURNED][MESSAGE_NAME_SIZE]; /* a ring: files whose messages have gone */
	size_t returned_first, returned_count;
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
		unlinkat(b->directory, b->slots[b->made].name, 0);
		close(b->slots[b->made].fd);
	}
}

/* Locks a new file; false when the queue manager, who looks for leftovers, was there first. */
static bool lock_new(int fd)
{
	struct stat st;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 1;
}

/* Files that were used before come first: they have their blocks and a durable name. */
static void make_new(struct batch *b)
{
	size_t reused = b->made;
	struct err err;

	for (size_t i = b->made; i < b->wanted; i++) {
		struct queue_slot *slot = &b->slots[b->made];

		message_name_make(slot->name);
		slot->room = 0;
		slot->fd = openat(b->directory, slot->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (slot->fd < 0 && errno == EEXIST)
			continue;
		if (slot->fd < 0) {
			b->error = errno;
			break;
		}
		if (!lock_new(slot->fd)) {
			close(slot->fd);
			continue;
		}
		if (!message_write_open(slot->fd, &err)) {
			b->error = err.code == ERR_NO_SPACE ? ENOSPC : EIO;
			unlinkat(b->directory, slot->name, 0);
			close(slot->fd);
			break;
		}
		b->made++;
	}
	/* A name that is not durable must not be handed out: a commit syncs the file only. */
	if (b->made > reused && fsync(b->directory) < 0) {
		b->error = errno;
		remove_batch(b);
	}
}

/* In a worker thread. */
static void make_batch(void *arg)
{
	struct batch *b = arg;

	b->made = reuse_slots(b->directory, b->slots, b->returned);
	make_new(b);
}

static void keep_slots(struct batch *b)
{
	for (size_t i = 0; i < b->made; i++)
		me.slots[(me.first + me.count++) % STOCK_MAX] = b->slots[i];
}

static void take_returned(struct batch *b)
{
	b->returned = 0;
	while (b->returned < b->wanted && me.returned_count > 0) {
		memcpy(b->slots[b->returned++].name, me.returned[me.returned_first], MESSAGE_NAME_SIZE);
		me.returned_first = (me.returned_first + 1) % RETURNED;
		me.returned_count--;
	}
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
	take_returned(b);
	task_offload(make_batch, b);
	keep_slots(b);
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

static bool take_slot(struct queue_slot *slot)
{
	if (me.count == 0)
		return false;
	*slot = me.slots[me.first];
	me.first = (me.first + 1) % STOCK_MAX;
	if (--me.count <= me.target / 2)
		task_event_signal(&me.wake);
	return true;
}

bool spares_take(struct spare_file *spare, struct cleanup_refusal *refusal)
{
	struct queue_slot slot;

	refusal->code = 0;
	if (!take_slot(&slot)) {
		*refusal = me.refusal;
		me.wanting = true;
		return false;
	}
	message_id_make(spare->id, slot.name);
	spare->fd = slot.fd;
	spare->room = slot.room;
	return true;
}

void spares_return(const char *name)
{
	if (me.stopped || me.returned_count == RETURNED) {
		unlinkat(me.directory, name, 0);
		return;
	}
	snprintf(me.returned[(me.returned_first + me.returned_count++) % RETURNED], MESSAGE_NAME_SIZE, "%s", name);
}

/* --- removing --- */

/* In a worker thread. */
static void remove_files(void *arg)
{
	struct discards *d = arg;

	for (size_t i = 0; i < d->count; i++) {
		unlinkat(d->directory, d->slots[i].name, 0);
		close(d->slots[i].fd);
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
		unlinkat(me.directory, message_id_name(id), 0);
		close(fd);
		return;
	}
	if (!me.discards) {
		me.discards = mem_alloc(sizeof(*me.discards));
		me.discards->directory = me.directory;
	}
	struct queue_slot *slot = &me.discards->slots[me.discards->count++];

	snprintf(slot->name, sizeof(slot->name), "%s", message_id_name(id));
	slot->fd = fd;
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
	struct queue_slot slot;

	me.stopped = true;
	while (take_slot(&slot)) {
		unlinkat(me.directory, slot.name, 0);
		close(slot.fd);
	}
	for (; me.returned_count > 0; me.returned_count--) {
		unlinkat(me.directory, me.returned[me.returned_first], 0);
		me.returned_first = (me.returned_first + 1) % RETURNED;
	}
}
