/* SPDX-License-Identifier: ISC */
/* Submitting the files in maildrop/. */
#ifndef POSTRIDER_PICKUP_DROP_H
#define POSTRIDER_PICKUP_DROP_H

#include "common/base/task.h"
#include "common/proto/cleanup_proto.h"

struct drop_settings {
	int maildrop;                /* directories */
	int corrupt;
	uint64_t message_size_limit; /* 0: none */
	const char *content_filter;  /* "transport:destination"; empty or NULL: none */
	struct ipc_client *cleanup;
	void (*busy)(int change);    /* process_busy, or NULL */
};

void drop_start(const struct drop_settings *settings);
/* Looks at the directory (again); soon, also when a look is under way. */
void drop_scan(void);
/* Files that are being submitted now. */
size_t drop_active(void);
void drop_stop(void);

#endif
