/* SPDX-License-Identifier: ISC */
#ifndef POSTRIDER_MASTER_SPAWN_H
#define POSTRIDER_MASTER_SPAWN_H

#include <sys/types.h>

#include "master/plan.h"

struct spawn_shared {
	int log_fd;
	bool log_is_syslog;
	int alive_fd;
	int main_cf_fd;
	const char *const *environment;
};

/*
 * Starts a program with its descriptors in the places that
 * common/process/control.h says.  *control is our end.  -1 and errno on failure.
 */
pid_t spawn_process(const struct service_spec *spec, const struct spawn_shared *shared, int *control);

#endif
