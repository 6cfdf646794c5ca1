/* SPDX-License-Identifier: ISC */
/* One policy by HTTPS. */
#ifndef POSTRIDER_MTASTS_FETCH_H
#define POSTRIDER_MTASTS_FETCH_H

#include "common/base/err.h"
#include "common/base/str.h"

struct fetch {
	const char *domain;        /* "example.com": asks mta-sts.example.com */
	const char *addresses;     /* "192.0.2.1,[2001:db8::1]": where that is; no name is looked up here */
	unsigned port;
	const char *authorities;   /* file; "": the system's */
	struct str text;           /* the policy; the caller frees it */
	bool done;
	struct err err;
};

/* Before the sandbox. */
bool fetch_prepare(struct err *err) MUST_USE;
/* Blocks: for a worker thread (task_offload).  `context` is a struct fetch. */
void fetch_run(void *context);

#endif
