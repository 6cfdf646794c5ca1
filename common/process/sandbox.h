/* SPDX-License-Identifier: ISC */
/*
 * Gives privileges up, in one order, each step checked: root directory,
 * groups, gid, uid, cannot be regained, no_new_privs, seccomp.
 */
#ifndef POSTRIDER_COMMON_PROCESS_SANDBOX_H
#define POSTRIDER_COMMON_PROCESS_SANDBOX_H

#include <sys/types.h>

#include "common/base/err.h"
#include "common/process/service_table.h"

struct sandbox_plan {
	const struct service_row *row;
	const char *mail_owner;        /* the user of rows without one */
	const char *queue_directory;   /* working directory, and holds empty/ */
	bool rootless;                 /* keep user and root: we have no right to change them */
};

/* After this the process is what its row says.  False: exit; nothing in between is usable. */
bool sandbox_enter(const struct sandbox_plan *plan, struct err *err) MUST_USE;
/* The seccomp filter alone (with no_new_privs), for all threads: any other call kills the process. */
bool sandbox_filter(unsigned profile, struct err *err) MUST_USE;
/* User and groups of a row; false when the user does not exist.  For messages before anything starts. */
bool sandbox_user(const struct service_row *row, const char *mail_owner, uid_t *uid, gid_t *gid,
		  struct err *err) MUST_USE;

#endif
