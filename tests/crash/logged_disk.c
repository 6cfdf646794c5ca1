// SPDX-License-Identifier: ISC
/*
 * logged_disk POINT LOG IMAGE...: shows each image as a file POINT/0, POINT/1, ... for a loop
 * device, and writes down what a file system does to it: every write, and every flush, in their
 * order over all images.  From that a test makes the disks that a power cut could leave: all that
 * was written before a disk's last flush, and any part of what came after.
 *
 * A record is: kind ('W' or 'F'), image, two bytes of zero, then offset (u64) and length (u64), of
 * the machine's order; after a write its data.  The log is written before the call is answered: who
 * has seen an effect finds its cause within the file's length of that moment.  Ends when it is
 * unmounted.
 */
#define FUSE_USE_VERSION 31
#include <fuse3/fuse.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IMAGES_MAX = 10 };

struct record {
	char kind;
	uint8_t image;
	uint8_t zero[6];
	uint64_t offset, length;
};

struct disks {
	int log;
	int count;
	int images[IMAGES_MAX];
};

static struct disks *disks(void)
{
	return fuse_get_context()->private_data;
}

// -1: no such image.
static int image_of(const char *path)
{
	if (path[0] != '/' || path[1] < '0' || path[1] > '9' || path[2])
		return -1;
	return path[1] - '0' < disks()->count ? path[1] - '0' : -1;
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *unused)
{
	int image = image_of(path);

	(void)unused;
	memset(st, 0, sizeof *st);
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	if (image < 0)
		return -ENOENT;
	if (fstat(disks()->images[image], st) < 0)
		return -errno;
	return 0;
}

static int disk_open(const char *path, struct fuse_file_info *file)
{
	int image = image_of(path);

	if (image < 0)
		return -ENOENT;
	file->fh = (uint64_t)image;
	// No page cache between the file system and the log.
	file->direct_io = 1;
	return 0;
}

static int disk_read(const char *path, char *buf, size_t size, off_t offset,
		     struct fuse_file_info *file)
{
	ssize_t n = pread(disks()->images[file->fh], buf, size, offset);

	(void)path;
	return n < 0 ? -errno : (int)n;
}

static int note(char kind, uint64_t image, off_t offset, const char *data, size_t length)
{
	struct record record = {
	    .kind = kind, .image = (uint8_t)image, .offset = (uint64_t)offset, .length = length};
	struct iovec parts[] = {{&record, sizeof record}, {(char *)data, length}};
	ssize_t want = (ssize_t)(sizeof record + length);

	return writev(disks()->log, parts, 2) == want ? 0 : -EIO;
}

static int disk_write(const char *path, const char *buf, size_t size, off_t offset,
		      struct fuse_file_info *file)
{
	ssize_t n;

	(void)path;
	if (note('W', file->fh, offset, buf, size) < 0)
		return -EIO;
	n = pwrite(disks()->images[file->fh], buf, size, offset);
	return n < 0 ? -errno : (int)n;
}

static int disk_fsync(const char *path, int only_data, struct fuse_file_info *file)
{
	(void)path, (void)only_data;
	return note('F', file->fh, 0, NULL, 0);
}

static const struct fuse_operations operations = {
    .getattr = disk_getattr,
    .open = disk_open,
    .read = disk_read,
    .write = disk_write,
    .fsync = disk_fsync,
};

int main(int argc, char **argv)
{
	static struct disks all;
	// In the foreground, one call after the other.
	static char foreground[] = "-f", single[] = "-s";
	char *options[] = {argv[0], foreground, single, argc > 1 ? argv[1] : NULL, NULL};
	int i;

	if (argc < 4 || argc > 3 + IMAGES_MAX) {
		fprintf(stderr, "usage: %s POINT LOG IMAGE...\n", argv[0]);
		return 64;
	}
	all.log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (all.log < 0) {
		perror(argv[2]);
		return 1;
	}
	for (i = 3; i < argc; i++) {
		all.images[all.count] = open(argv[i], O_RDWR | O_CLOEXEC);
		if (all.images[all.count++] < 0) {
			perror(argv[i]);
			return 1;
		}
	}
	return fuse_main(4, options, &operations, &all);
}
