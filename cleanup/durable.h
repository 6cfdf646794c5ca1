/* SPDX-License-Identifier: ISC */
/*
 * Writing files and making them durable, many at a time.
 *
 * Writes to blocks that a file has already need no journal commit: they are started side by side
 * (sync_file_range), awaited, and one flush of the disk (fdatasync of any of the files) serves all.
 * Whatever comes while a batch is under way makes the next one.
 */
#ifndef POSTRIDER_CLEANUP_DURABLE_H
#define POSTRIDER_CLEANUP_DURABLE_H

#include <stdbool.h>
#include <stdint.h>

struct durable {
	/* In a worker thread: writes; tells where the written part ends; false when that failed. */
	bool (*write)(struct durable *item, uint64_t *end);
	int fd;
	/* Bytes at the file's start that are allocated, on a file system that writes in place; 0: none. */
	uint64_t room;
	int error;                /* of the sync; 0 */
	bool ok;                  /* written and durable */
};

/* Suspends the task until it is done one way or the other. */
void durable_store(struct durable *item);

/* Does this file's file system write to allocated blocks in their place (ext4, xfs, tmpfs)? */
bool durable_in_place(int fd);
/* Starts to write `length` bytes at the start of such a file; durable_await waits for that. */
bool durable_begin(int fd, uint64_t length);
bool durable_await(int fd, uint64_t length);

#endif
