/* SPDX-License-Identifier: ISC */
/*
 * The launcher: the part of a delivery agent that may act as its users.
 *
 * An agent reads what strangers wrote: addresses, alias tables, .forward files.  It does so as an
 * ordinary user, in its sandbox.  Before it gives up root it splits off this process, which reads
 * nothing but the agent's requests.  Each request is a child that becomes the user for good, and
 * then stores the message, runs the program or reads the file.  The launcher's rules are set before the split: what
 * an agent asks for beyond them is refused, also when the agent was taken over.
 */
#ifndef POSTRIDER_DELIVERY_LIB_LAUNCHER_H
#define POSTRIDER_DELIVERY_LIB_LAUNCHER_H

#include <sys/types.h>

#include "delivery/lib/mailbox.h"

struct launcher_rules {
	bool named_users;             /* users by name, from the system; else by number, from minimum_uid on */
	uid_t minimum_uid;
	bool programs;                /* else the launcher has a seccomp profile that has no execve */
	const char *stand_in;         /* with root: who takes the place of names that are no users (local_mailbox_root); NULL */
	/* For good, at the start (pipe); NULL: not. */
	const char *user;
	const char *group;            /* NULL: the user's */
	const char *chroot;
	const char *not_user;         /* mail_owner: never becomes this */
	/* Mailboxes. */
	const char *base;             /* all lie below it; NULL: anywhere */
	const char *spool;            /* mail_spool_directory: the right to make a file there; NULL */
	struct lock_style locks;
	uint64_t limit;
	bool strict_owner;
};

/* In open(), before any table is.  The rules must outlive it. */
bool launcher_start(const struct launcher_rules *rules, struct err *err) MUST_USE;

/* Whose rights a delivery has.  A program is never root's. */
struct launch_user {
	const char *name;             /* NULL: by number */
	uid_t uid;
	gid_t gid;
};

struct launch {
	struct launch_user user;
	/* the message */
	int fd;
	struct slice head, eol;       /* eol empty: "\n" */
	unsigned flags;               /* CONTENT_… */
	/* a mailbox … */
	const char *mailbox;          /* NULL: a program */
	bool any_file;
	/* … or a program; see program.h */
	const char *const *argv, *const *env;
	const char *directory, *name, *success;
	double time_limit;
};

/* Suspends the task till the child has ended; it is never given up, so that nothing is delivered twice. */
void launcher_deliver(const struct launch *l, struct outcome *o);

#define LAUNCHER_FILE_MAX (1u << 20)

/*
 * Reads a file as the user: 1; 0: there is none; -1: it cannot be trusted or read (*err; ERR_TEMPORARY
 * when that may change).  Regular, not writable by all, and the user's or root's, at most
 * LAUNCHER_FILE_MAX bytes.  `any_owner`: whoever owns it.
 */
int launcher_read(const struct launch_user *user, const char *path, bool any_owner, struct str *text, uid_t *owner,
		  struct err *err) MUST_USE;

#endif
