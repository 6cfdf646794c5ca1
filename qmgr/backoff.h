/* SPDX-License-Identifier: ISC */
/* How long a message waits: by its age, and by what the reply to it says. */
#ifndef POSTRIDER_QMGR_BACKOFF_H
#define POSTRIDER_QMGR_BACKOFF_H

#include "common/base/slice.h"

enum backoff_reason {
	BACKOFF_PLAIN,
	BACKOFF_GREYLISTED,        /* come again soon: the first hour at the shortest pause */
	BACKOFF_RATE_LIMITED       /* the site has had enough of us: the whole site rests */
};

struct backoff_settings {
	double minimal, maximal;
};

/* Of a 4xx result: its status and what the remote said; `*hint` is a pause that it names, in seconds, or 0. */
enum backoff_reason backoff_reason_of(struct slice dsn, struct slice reply, double *hint);
/* Seconds until the next attempt of a message of this age. */
double backoff_pause(const struct backoff_settings *settings, enum backoff_reason reason, double hint, double age);

#endif
