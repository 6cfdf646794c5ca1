/* SPDX-License-Identifier: ISC */
/*
 * One row a program: the user it runs as, its root, its seccomp profile, how
 * many processes it has, and who may connect to it through master.  Master reads the
 * row to start and to connect, the process itself to drop its privileges.
 */
#ifndef POSTRIDER_COMMON_PROCESS_SERVICE_TABLE_H
#define POSTRIDER_COMMON_PROCESS_SERVICE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum service_root {
	ROOT_NONE,            /* the system's root; works in queue_directory */
	ROOT_EMPTY            /* queue_directory/empty, a directory without anything in it */
};

/* Named groups of system calls (sandbox.c lists them).  Each profile has SYS_BASE. */
enum syscall_group {
	SYS_BASE = 1,         /* memory, time, the loop, I/O on descriptors that one holds */
	SYS_ACCEPT = 2,       /* accept4 on inherited listening sockets */
	SYS_THREADS = 4,
	SYS_READ = 8,         /* open files for reading, list directories */
	SYS_WRITE = 16,       /* create, change, rename and remove files */
	SYS_INET = 32,        /* make and connect internet sockets */
	SYS_UNIX = 64,        /* make and connect Unix sockets */
	SYS_NSS = 128,        /* what the C library's name service switch needs, modules included */
	SYS_BECOME = 256      /* fork, and change to another user: mailbox agents */
};

enum service_count {
	COUNT_ONE,            /* a single process */
	COUNT_CORES,          /* one a core, or maxproc when that is smaller */
	COUNT_MAXPROC         /* as many as master.cf says */
};

/* Flags of a row. */
#define SERVICE_AT_START   1  /* started with master, not on demand */
#define SERVICE_ALWAYS     2  /* added when master.cf does not have it */
#define SERVICE_LISTENS    4  /* has a socket in public/ (when master.cf says private=n) */
#define SERVICE_INET       8  /* may listen on internet sockets */
#define SERVICE_EXCLUSIVE 16  /* the old process must be gone before the next one starts */
#define SERVICE_DISTINCT  32  /* one asker's connections each go to a process of their own */
#define SERVICE_NO_PROCESS 64 /* done inside qmgr */
#define SERVICE_GROUPS    128 /* keeps the groups that /etc/group gives its user: sockets of other programs */

struct service_row {
	const char *command;      /* name of the program, and of its folder's main() */
	const char *user;         /* NULL: mail_owner; "root": stays root */
	enum service_root root;
	unsigned profile;         /* enum syscall_group, ORed */
	enum service_count count;
	unsigned flags;
	const char *askers;       /* commands that may connect to it, between spaces: " smtpd pickup " */
};

/* The row of a program, or NULL. */
const struct service_row *service_row_find(const char *command);
/* All rows; NULL after the last. */
const struct service_row *service_row_at(size_t index);
/* May a process of program `asker` be connected to a service of this row? */
bool service_row_allows(const struct service_row *row, const char *asker);
/*
 * Part of Postfix that Postrider does in another place (rewrite, scache, tlsmgr …): an
 * entry of master.cf by that name or command has no process.
 */
bool service_not_needed(const char *name, const char *command);

#endif
