/* SPDX-License-Identifier: ISC */
/* Asking proxymap: one key in one table a question, many questions side by side. */
#ifndef POSTRIDER_COMMON_PROTO_PROXYMAP_PROTO_H
#define POSTRIDER_COMMON_PROTO_PROXYMAP_PROTO_H

#include "common/base/arena.h"
#include "common/net/ipc.h"

extern const struct ipc_protocol proxymap_protocol;    /* "proxymap", 1 */

enum proxymap_message { PROXYMAP_LOOKUP = 1, PROXYMAP_ANSWER, PROXYMAP_CONNECT, PROXYMAP_CONNECTED };

#define PROXYMAP_TABLE_MAX 4096                 /* bytes of a table's name */
#define PROXYMAP_KEY_MAX   ((size_t)32 << 10)
#define PROXYMAP_VALUE_MAX ((size_t)16 << 20)   /* beyond what a packet holds it goes beside, as a descriptor */

struct proxymap_question {
	struct slice table;      /* "pgsql:/etc/postrider/users.cf", or with "proxy:" in front as it is configured */
	struct slice key;        /* as asked for: who has the table folds it */
};

enum proxymap_status { PROXYMAP_FOUND = 1, PROXYMAP_NOT_FOUND, PROXYMAP_ERROR };

struct proxymap_answer {
	enum proxymap_status status;
	struct slice text;       /* FOUND: the value; ERROR: why, naming the table */
};

/* False: too long. */
bool proxymap_put_question(struct ipc_out *m, uint32_t request, const struct proxymap_question *question) MUST_USE;
/* False: malformed.  The slices point into the packet. */
bool proxymap_get_question(const struct ipc_in *m, struct proxymap_question *question) MUST_USE;
/*
 * False: it does not fit, or the memory for it cannot be had.  A large value
 * travels as a sealed memory file that the caller closes after sending (m->fds).
 */
bool proxymap_put_answer(struct ipc_out *m, uint32_t request, const struct proxymap_answer *answer) MUST_USE;
/* Takes all into the arena, a value that came beside included.  False: malformed. */
bool proxymap_get_answer(const struct ipc_in *m, struct arena *arena, struct proxymap_answer *answer,
			 struct err *err) MUST_USE;

/*
 * Asks and waits; only in a task.  A lost connection is tried once more: proxymap may have been
 * replaced by its successor.  False: no answer (ERR_TIMEOUT, ERR_CLOSED, ERR_CANCELLED, …).
 */
bool proxymap_ask(struct ipc_client *client, const struct proxymap_question *question, double deadline,
		  struct arena *arena, struct proxymap_answer *answer, struct err *err) MUST_USE;

/*
 * A connection to the server of a policy service ("inet:host:port", "unix:path"), made by proxymap for
 * a process that may not.  Suspends the task; -1: an error.
 */
int proxymap_connect(struct ipc_client *client, struct slice server, double deadline, struct err *err);
bool proxymap_put_connect(struct ipc_out *m, uint32_t request, struct slice server) MUST_USE;
/* False: it is no such message, or malformed. */
bool proxymap_get_connect(const struct ipc_in *m, struct slice *server) MUST_USE;
/* The descriptor is the caller's to close. */
bool proxymap_put_connected(struct ipc_out *m, uint32_t request, int fd) MUST_USE;

#endif
