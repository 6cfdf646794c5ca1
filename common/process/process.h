/* SPDX-License-Identifier: ISC */
/*
 * The skeleton of every process that master starts.  A daemon's main() is one
 * call of process_main with its callbacks; what differs between daemons otherwise (user,
 * root, seccomp profile, who may connect) is a row of common/process/service_table.c.
 *
 * Order (STYLE 17): arguments and configuration, log → open() → chroot,
 * groups, gid, uid, verified → no_new_privs, seccomp → start() → loop.
 *
 * Master is the switchboard: a process asks it for a connection to a service
 * by name (process_connect), master checks the service table, makes a socket pair, and
 * gives one end to the asker and one to a process of that service, with the asker's command
 * name as `role`.  So a process in an empty chroot that may not call connect(2) reaches exactly
 * the services in its row, and a server knows who is at the other end.
 */
#ifndef POSTRIDER_COMMON_PROCESS_PROCESS_H
#define POSTRIDER_COMMON_PROCESS_PROCESS_H

#include <sys/socket.h>

#include "common/base/err.h"
#include "common/base/task.h"
#include "common/config/config.h"
#include "common/process/service_table.h"

struct process_info {
	const struct config *config;
	const char *command;      /* "smtpd": the program, and the key of the service table */
	const char *service;      /* the name in master.cf: "smtp", "submission", "relay" */
	const char *const *argv;  /* remaining arguments of master.cf's command column, NULL-terminated */
	int argc;
	bool rootless;            /* master was started by an ordinary user */
	int process_limit;        /* master.cf's maxproc: -1 default, 0 none */
};

struct process_ops {
	/* Before privileges are dropped: open tables, read keys, directories.  False is fatal. */
	bool (*open)(const struct process_info *info, struct err *err);
	/* After open: what this configuration needs of the row's groups and root; it can take away, not add. */
	void (*narrow)(unsigned *groups, enum service_root *root);
	/* In the sandbox, before the loop: connect clients, start tasks. */
	void (*start)(const struct process_info *info);
	/*
	 * A connection to one of the service's own listening sockets (inet, or unix in
	 * public/).  The callee owns fd (non-blocking, close-on-exec).
	 */
	void (*accept)(int fd, const struct sockaddr *peer, socklen_t peer_len);
	/* A connection by the switchboard.  The callee owns fd (SOCK_SEQPACKET). */
	void (*peer)(int fd, const char *role);
	/* Wake-up time of master.cf's wakeup column, or a trigger byte on the listening socket. */
	void (*wakeup)(void);
	/* Finish: nothing new comes.  Call process_exit_when_idle() semantics: see process_busy. */
	void (*retire)(void);
};

/* Never returns to main but with the exit status. */
int process_main(int argc, char **argv, const struct process_ops *ops);
const struct process_info *process_info(void);

/* Suspends the calling task till master answers.  -1: ERR_PERMANENT when not allowed, ERR_TEMPORARY else. */
int process_connect(const char *service, double deadline, struct err *err);

/*
 * In open(): this file was read, and cannot be read again from the sandbox.  When it changes, master
 * starts a process that reads it anew, and retires this one when that has gone well.
 */
void process_watch_file(const char *path);

/*
 * Work in progress: +1 and −1.  A process that has retired (reload, table
 * replaced, its share of sessions served) exits when the count is 0; master
 * shares new connections by it.
 */
void process_busy(int change);
/* Retires now (a table was replaced): master starts the next one. */
void process_retire(const char *reason);
bool process_retiring(void);
/* Because master told it to stop at once, or is gone. */
bool process_stopping(void);
/* Stops and resumes accepting: for a daemon that is at its session limit. */
void process_accepting(bool on);

#endif
