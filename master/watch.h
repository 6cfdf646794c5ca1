/* SPDX-License-Identifier: ISC */
/*
 * Files that processes have read before they went into their sandbox: certificates, keys, resolv.conf.
 * When one changes, and has stayed the same for a moment, a process is started that reads it anew; the older
 * ones retire when that one is ready, and stay when it fails.
 */
#ifndef POSTRIDER_MASTER_WATCH_H
#define POSTRIDER_MASTER_WATCH_H

#include "master/service.h"

/* From a process that is not ready yet. */
void watch_add(struct child *child, const struct ipc_in *m);
void watch_forget(struct child *child);
/* Every few seconds. */
void watch_look(void);
/* This child is ready: those that it replaces may go. */
void watch_ready(struct child *child);

#endif
