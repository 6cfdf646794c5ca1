/* SPDX-License-Identifier: ISC */
/* How clients of each SMTP service log in: main.cf, and what -o in master.cf says otherwise. */
#ifndef POSTRIDER_AUTH_PROFILE_H
#define POSTRIDER_AUTH_PROFILE_H

#include "auth/auth.h"

struct profile {
	struct profile *next;
	const char *service;               /* NULL: main.cf's own */
	struct config *config;             /* NULL: the process's */
	const struct backend_type *type;   /* NULL: the service takes no log-ins */
	struct backend *backend;
};

/* Opens all backends.  `connect` is how they reach other services. */
bool profiles_open(const struct config *config, ipc_connect_fn *connect, struct err *err) MUST_USE;
/* Of a service, else main.cf's own. */
const struct profile *profile_find(struct slice service);
bool profiles_changed(void);
/* What all backends together need of the sandbox. */
unsigned profiles_groups(void);
enum service_root profiles_root(void);

#endif
