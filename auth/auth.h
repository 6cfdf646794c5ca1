/* SPDX-License-Identifier: ISC */
/* What the files of auth share: a log-in under way, and what a backend is. */
#ifndef POSTRIDER_AUTH_AUTH_H
#define POSTRIDER_AUTH_AUTH_H

#include "common/config/config.h"
#include "common/process/service_table.h"
#include "common/proto/auth_proto.h"

/* How long a backend may take for an answer, and a client for its next response (seconds). */
#define AUTH_BACKEND_SECONDS 120

/* What a failure without a reason of its own is called, whatever it was. */
#define AUTH_FAILURE "authentication failure"

/* A log-in under way: a task runs it from the first word to the last. */
struct login {
	struct arena *arena;
	struct auth_start start;           /* in the arena */
	double deadline;                   /* of the whole dialogue */
	/*
	 * Sends a challenge and waits for the response, which is in the arena.  False: the client gave up
	 * or time is out; the log-in ends, whatever its result is.
	 */
	bool (*ask)(struct login *login, struct slice challenge, struct slice *response);
	void *context;
};

struct backend;                            /* a type's own */

struct backend_settings {
	const char *service;               /* name in master.cf, for messages */
	const char *path;                  /* smtpd_sasl_path */
	const char *sasl_service;          /* smtpd_sasl_service */
	const char *local_domain;          /* smtpd_sasl_local_domain */
	const char *myhostname;
	const char *password_maps, *password_mechanisms;
	const char *config_path;           /* cyrus_sasl_config_path */
	const char *config_dir;
	ipc_connect_fn *connect;           /* to other services */
};

struct backend_type {
	const char *name;                  /* in smtpd_sasl_type */
	unsigned groups;                   /* enum syscall_group that it needs besides SYS_BASE and SYS_THREADS */
	enum service_root root;
	/* Before privileges are dropped.  NULL: the configuration cannot work. */
	struct backend *(*open)(const struct backend_settings *settings, struct err *err);
	/* Suspends.  Names are in the arena; at most AUTH_MECHANISMS_MAX. */
	bool (*mechanisms)(struct backend *b, double deadline, struct arena *arena, struct auth_mechanism *list,
			   size_t *count, struct err *err);
	/* Suspends till the log-in has ended: AUTH_OK or AUTH_FAIL in *answer, texts in its arena. */
	void (*login)(struct backend *b, struct login *login, struct auth_answer *answer);
	/* Is a table that it reads another one by now? */
	bool (*changed)(struct backend *b);
	void (*close)(struct backend **b);
};

extern const struct backend_type backend_table, backend_dovecot, backend_cyrus;

/* Answers, for backends.  Texts are copied to the arena. */
void login_succeed(const struct login *login, struct auth_answer *answer, struct slice user);
/* A reason with a text for the client and the log; temporary when it is BACKEND or BUSY. */
void login_fail(const struct login *login, struct auth_answer *answer, enum auth_reason reason, const char *text);
/* At most `max` bytes, what cannot be printed as '?'; in the arena. */
struct slice login_text(struct arena *arena, struct slice text, size_t max);
/* Is it fit for a user's name: printable, 1 to SASL_LOGIN_MAX bytes? */
bool login_name_sound(struct slice name);
/* Wrong password or unknown user. */
void login_wrong(const struct login *login, struct auth_answer *answer, struct slice user);

/*
 * Work in a thread, a bounded number at a time; the others wait their turn, and when too many do, this
 * one does not (false: AUTH_REASON_BUSY).
 */
bool gate_run(void (*work)(void *arg), void *arg) MUST_USE;
/* How many at a time; before first use. */
void gate_open(int at_once);

#endif
