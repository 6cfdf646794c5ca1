/* SPDX-License-Identifier: ISC */
/* What fuzz targets share.  See tests/fuzz.sh. */
#ifndef POSTRIDER_TESTS_SUPPORT_FUZZ_H
#define POSTRIDER_TESTS_SUPPORT_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cursor.h"
#include "common/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A promise of the code under test: what breaks it is reported like a crash. */
#define FUZZ_CHECK(condition)                                                              \
	((condition) ? (void)0                                                             \
		     : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

/* Log lines are made and go nowhere. */
static inline void fuzz_quiet(void)
{
	if (log_name() && strcmp(log_name(), "fuzz") != 0)
		log_open("fuzz", -1, false);
}

/* No control character: may stand in a line of a log, a header or a protocol. */
static inline bool fuzz_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < 32 || text.ptr[i] == 127)
			return false;
	return true;
}

/* Does [text] lie inside the memory of [whole]?  An empty slice lies anywhere. */
static inline bool fuzz_inside(struct slice text, const void *whole, size_t len)
{
	return text.len == 0 ||
	       ((const char *)whole <= text.ptr && text.ptr + text.len <= (const char *)whole + len);
}

#endif
