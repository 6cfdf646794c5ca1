/* SPDX-License-Identifier: ISC */
/* smtpd's connections and the log-ins under way on each. */
#ifndef POSTRIDER_AUTH_SESSIONS_H
#define POSTRIDER_AUTH_SESSIONS_H

#include "auth/auth.h"

#define LOGINS_MAX           1000   /* under way at a time */
#define LOGINS_OF_CLIENT_MAX 20     /* of one client address */

struct sessions_settings {
	double response_seconds;           /* a client may think that long */
	/* In a task; false: cannot be told now. */
	bool (*count)(const struct auth_counting *counting, struct auth_verdict *verdict, struct err *err);
	void (*busy)(int change);          /* as process_busy */
};

void sessions_open(const struct sessions_settings *settings);
/* A connection of smtpd's. */
void sessions_accept(int fd);
/* Nothing new: log-ins that wait for their client end, the others are answered. */
void sessions_retire(void);

#endif
