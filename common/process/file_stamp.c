/* SPDX-License-Identifier: ISC */
#include "common/process/file_stamp.h"

#include <sys/stat.h>

/* The same in every process, unlike slice_hash. */
static uint64_t mix(uint64_t stamp, uint64_t fact)
{
	return (stamp ^ fact) * 0x100000001b3u + (stamp >> 29);
}

uint64_t file_stamp(const char *path)
{
	uint64_t stamp = 1;
	struct stat st;

	if (stat(path, &st) != 0)
		return 0;
	stamp = mix(stamp, st.st_dev);
	stamp = mix(stamp, st.st_ino);
	stamp = mix(stamp, (uint64_t)st.st_size);
	stamp = mix(stamp, (uint64_t)st.st_mtim.tv_sec);
	stamp = mix(stamp, (uint64_t)st.st_mtim.tv_nsec);
	stamp = mix(stamp, (uint64_t)st.st_ctim.tv_sec);
	return stamp | 1;
}
