/* SPDX-License-Identifier: ISC */
/* Is a file still the one that was read?  A number made of its place, size and times. */
#ifndef POSTRIDER_COMMON_PROCESS_FILE_STAMP_H
#define POSTRIDER_COMMON_PROCESS_FILE_STAMP_H

#include <stdint.h>

/* 0: there is no such file, or it cannot be looked at. */
uint64_t file_stamp(const char *path);

#endif
