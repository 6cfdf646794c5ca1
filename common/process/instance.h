/* SPDX-License-Identifier: ISC */
/*
 * An instance of the mail system on this machine: its directories, the pid
 * file with master's lock, and where its log goes.  For master and for the postrider command.
 */
#ifndef POSTRIDER_COMMON_PROCESS_INSTANCE_H
#define POSTRIDER_COMMON_PROCESS_INSTANCE_H

#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/config/config.h"

/*
 * Makes the directories below queue_directory, and data_directory, that are
 * missing, with the right owner and mode.  `report` (may be NULL) gets a line for each one that
 * exists with another owner or mode.  rootless: the owner is left as it is.
 */
bool instance_make_directories(const struct config *config, bool rootless, struct str *report,
			       struct err *err) MUST_USE;

/*
 * Takes the pid file, queue_directory/pid/master.pid: ours as long as the
 * descriptor that is returned stays open.  -1: another master has it (*other is its pid,
 * ERR_LIMIT) or an error (*other 0).  A file that a dead master left does not matter.
 */
int instance_lock(const struct config *config, pid_t *other, struct err *err);
/* Writes our pid into the file (after a fork). */
bool instance_write_pid(int fd, struct err *err) MUST_USE;
/* The pid of the master that runs, 0 when none does, -1 on error. */
pid_t instance_running(const struct config *config, struct err *err);

/*
 * The log that maillog_file says: a descriptor; *syslog true: connected to syslog's socket.
 * -1 on error.  `foreground`: standard error serves where syslog cannot be had.
 */
int instance_open_log(const struct config *config, bool foreground, bool *syslog, struct err *err);
/* What instance_open_log opens is another than *device, *inode say, which are renewed: log rotation. */
bool instance_log_moved(const struct config *config, dev_t *device, ino_t *inode);

#endif
