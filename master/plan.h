/* SPDX-License-Identifier: ISC */
/*
 * What master.cf and main.cf ask for, read and checked as a whole, its sockets
 * bound: a plan is used or thrown away, never half of it.
 */
#ifndef POSTRIDER_MASTER_PLAN_H
#define POSTRIDER_MASTER_PLAN_H

#include "common/base/arena.h"
#include "common/config/config.h"
#include "common/process/environment.h"
#include "common/process/service_table.h"

/* A listening socket; kept over a reload when the next plan wants the same address. */
struct listener {
	struct listener *next;
	char *key;               /* "127.0.0.1:25", "[::]:25", a path */
	int fd;
	bool wanted;             /* by the plan being built or in use */
	bool fresh;              /* bound for the plan being built */
};

struct service_spec {
	struct service_spec *next;
	const char *name;        /* as in master.cf */
	bool inet;
	const struct service_row *row;
	const char *path;        /* of the program */
	char **argv;             /* whole, NULL-terminated */
	struct listener **listeners;
	size_t listener_count;
	int limit;               /* processes at most */
	int prefork;             /* processes that are kept */
	int wakeup;              /* seconds, 0 none */
	bool wakeup_if_used;
};

struct plan {
	struct arena *arena;
	struct config *config;
	int main_cf;             /* a copy of main.cf: what processes read till the next plan */
	struct service_spec *specs;
	struct environment environment; /* of all processes */
	bool rootless;
};

struct plan_options {
	const char *config_dir;
	bool rootless;
};

/*
 * NULL on error, with what was wrong; nothing has changed then (sockets that were bound for it
 * are closed again).
 */
struct plan *plan_load(const struct plan_options *options, struct err *err) MUST_USE;
/* Puts it in use: listening sockets that it does not want are closed. */
void plan_commit(struct plan *plan);
/* Throws a plan away that was not committed, with the sockets bound for it. */
void plan_abandon(struct plan **plan);
/* Frees a plan that is no longer in use. */
void plan_free(struct plan **plan);

#endif
