/* SPDX-License-Identifier: ISC */
/*
 * A stream over memory, for tests and fuzz targets: what the peer sends is
 * given beforehand, what it gets is kept; reads and writes as short as is asked for.
 * It never suspends, so that an engine runs on the main stack.
 */
#ifndef POSTRIDER_TESTS_SUPPORT_MEMORY_STREAM_H
#define POSTRIDER_TESTS_SUPPORT_MEMORY_STREAM_H

#include "common/base/str.h"
#include "common/net/stream.h"

/* How the input ends. */
enum memory_end { MEMORY_EOF, MEMORY_TIMEOUT, MEMORY_ERROR, MEMORY_CANCELLED };

struct memory_stream {
	struct slice input;
	size_t piece;        /* bytes of a read or write at most; 0: any number */
	bool by_line;        /* a read ends behind a line: no pipelining is seen */
	bool stutter;        /* EINTR and EAGAIN before each success */
	enum memory_end end;
	size_t write_limit;  /* the write that passes this many bytes fails; 0: none does */
	/* kept by the backend */
	size_t at;
	struct str output;   /* the caller frees */
	unsigned turn;
	bool closed;
};

struct stream *memory_stream_open(struct memory_stream *m);

#endif
