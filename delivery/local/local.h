/* SPDX-License-Identifier: ISC */
/*
 * The local delivery agent: aliases, .forward files, mailboxes, commands.  See local(8) of Postfix.
 *
 * A recipient is expanded by recursion: an alias or a .forward file has destinations, those that are local
 * addresses are expanded in turn.  Each level has a struct local_scope; what all share is in struct local_delivery.
 */
#ifndef POSTRIDER_DELIVERY_LOCAL_LOCAL_H
#define POSTRIDER_DELIVERY_LOCAL_LOCAL_H

#include "common/process/environment.h"
#include "delivery/lib/agent.h"
#include "delivery/lib/launcher.h"
#include "routing/route.h"
#include "tables/table.h"

/* Where a destination stands: what allow_mail_to_commands and allow_mail_to_files list. */
enum local_place { PLACE_ALIAS = 1, PLACE_FORWARD = 2, PLACE_INCLUDE = 4 };
/* prepend_delivered_header */
enum local_delivered { DELIVERED_COMMAND = 1, DELIVERED_FILE = 2, DELIVERED_FORWARD = 4 };

enum local_map { MAP_ALIAS, MAP_COMMAND, MAP_TRANSPORT, MAP_FALLBACK, MAP_COUNT };

struct local_settings {
	const struct config *config;
	const char *delimiter, *mailbox_root, *default_privs;
	unsigned commands, files;     /* enum local_place */
	unsigned delivered;           /* enum local_delivered */
	size_t duplicate_limit;
	bool owner_special, expand_owner, reset_owner;
	struct table_list *map[MAP_COUNT];
	struct router *router;
	struct ipc_client *cleanup;
	struct environment environment;
};

/* Somebody of the system's users. */
struct local_user {
	const char *name, *home, *shell;
	uid_t uid;
};

struct local_forward {
	struct local_forward *next;
	struct slice address, sender;
};

/* A message and the recipient that it is for. */
struct local_delivery {
	const struct local_settings *settings;
	struct agent_job *job;
	const struct message_recipient *recipient;
	struct arena *arena;
	struct slice *seen;           /* duplicates: what was delivered to already */
	size_t seen_count;
	struct local_forward *forward; /* re-sent at the end, together */
	bool expanded;                /* goes to more than one place, or on as another's mail */
	struct outcome worst;
	double started;
};

/* One level of the expansion. */
struct local_scope {
	const struct local_scope *parent;
	struct slice address;         /* whom this level is for: local@domain */
	struct slice local, name, extension; /* name and local in lower case; name: without the extension */
	struct slice sender;          /* an owner- alias changes it */
	struct slice alias;           /* whose value is being expanded */
	const struct local_user *user; /* in whose .forward file we are, or who gets the mail; NULL */
	struct launch_user rights;    /* of commands and files */
	enum local_place place;
	int depth;
};

/* expand.c: a local address: aliases first, then the user. */
void local_expand(struct local_delivery *d, const struct local_scope *scope);
/* A list of destinations, as in aliases(5): how many there were. */
size_t local_expand_list(struct local_delivery *d, const struct local_scope *scope, struct slice list);
/* Fills address, local, name, extension for a level below `parent`. */
struct local_scope local_scope_below(struct local_delivery *d, const struct local_scope *parent, struct slice address);
/* An address of any kind: expanded when it is ours, else re-sent. */
void local_expand_address(struct local_delivery *d, const struct local_scope *scope, struct slice address);

/* user.c: .forward (when `forward`), then the mailbox in one of its forms, then what there is for unknown users. */
void local_deliver_user(struct local_delivery *d, const struct local_scope *scope, bool forward);

/* target.c: the ends.  Each tells local_conclude. */
void local_deliver_command(struct local_delivery *d, const struct local_scope *scope, const char *command);
void local_deliver_file(struct local_delivery *d, const struct local_scope *scope, const char *path);
void local_deliver_mailbox(struct local_delivery *d, const struct local_scope *scope, const char *path);
/* "$home/.forward$extension": names expanded, characters that are not in `allowed` become '_'; NULL: malformed. */
const char *local_interpolate(const struct local_delivery *d, const struct local_scope *scope, const char *text,
			      const char *allowed);

/* pass.c: by another transport, "lmtp:unix:/run/x"; that agent writes the log. */
void local_pass(struct local_delivery *d, const struct local_scope *scope, struct slice transport);

/* forward.c: new messages, one a sender, by cleanup. */
void local_send_forwards(struct local_delivery *d, const struct local_scope *scope);

/* deliver.c: the recipient; its result is d->worst. */
void local_deliver(struct local_delivery *d);
/* A target's end: the log line, and the worst of all counts for qmgr. */
void local_conclude(struct local_delivery *d, const struct local_scope *scope, const struct outcome *o);
/* The same with a status of its own; its text is not on the caller's stack, which recursion needs. */
void local_fail(struct local_delivery *d, const struct local_scope *scope, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void local_merge(struct local_delivery *d, const struct outcome *o);
/* True the first time that it is asked for this kind and text. */
bool local_first_time(struct local_delivery *d, const char *kind, struct slice text);

#endif
