/* SPDX-License-Identifier: ISC */
#include "cleanup/reuse.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup/durable.h"
#include "common/base/file.h"

#define HEADER_SIZE  MESSAGE_CONTENT_OFFSET
#define ROOM         16384      /* so that most messages find their blocks allocated */

static const char zeros[MESSAGE_REUSE_MAX];

/* Nobody else has it open: no process that wrote or read its message. */
static bool is_ours_alone(int fd)
{
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

static bool has_gone(int fd)
{
	struct message_layout layout;
	struct err err;

	return !message_read_layout(fd, &layout, &err) && layout.state == MESSAGE_FREE;
}

static bool is_small(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size <= MESSAGE_REUSE_MAX;
}

/* Opens it; or removes it, unless there is a message in it or somebody else works on it. */
static bool open_slot(int directory, struct queue_slot *slot)
{
	slot->fd = openat(directory, slot->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (slot->fd < 0)
		return false;
	if (flock(slot->fd, LOCK_EX | LOCK_NB) == 0 && has_gone(slot->fd)) {
		if (is_ours_alone(slot->fd) && is_small(slot->fd))
			return true;
		unlinkat(directory, slot->name, 0);
	}
	close(slot->fd);
	return false;
}

/* Makes it durable that there is no message: many writes, one flush where that is enough. */
static bool clear_headers(const struct queue_slot *slots, size_t count)
{
	bool in_place = count > 0 && durable_in_place(slots[0].fd);
	bool ok = true;
	struct err err;

	for (size_t i = 0; i < count; i++) {
		ok = ok && message_write_open(slots[i].fd, &err);
		if (in_place)
			ok = ok && durable_begin(slots[i].fd, HEADER_SIZE);
	}
	for (size_t i = 0; in_place && i < count; i++)
		ok = ok && durable_await(slots[i].fd, HEADER_SIZE);
	for (size_t i = in_place && count > 0 ? count - 1 : 0; i < count; i++)
		ok = ok && fdatasync(slots[i].fd) == 0;
	return ok;
}

static bool clear_content(struct queue_slot *slot)
{
	struct stat st;
	size_t size;

	if (fstat(slot->fd, &st) < 0)
		return false;
	size = (size_t)st.st_size < ROOM ? ROOM : (size_t)st.st_size;
	/* What it grows by here has no blocks before its next sync. */
	slot->room = (size_t)st.st_size == size && durable_in_place(slot->fd) ? size : 0;
	return file_write_at(slot->fd, slice_make(zeros, size - HEADER_SIZE), HEADER_SIZE);
}

size_t reuse_slots(int directory, struct queue_slot *slots, size_t count)
{
	size_t kept = 0, cleared = 0;

	for (size_t i = 0; i < count; i++) {
		struct queue_slot slot = slots[i];

		if (open_slot(directory, &slot))
			slots[kept++] = slot;
	}
	bool durable = clear_headers(slots, kept);

	for (size_t i = 0; i < kept; i++) {
		struct queue_slot slot = slots[i];

		if (durable && clear_content(&slot)) {
			slots[cleared++] = slot;
			continue;
		}
		unlinkat(directory, slot.name, 0);
		close(slot.fd);
	}
	return cleared;
}
