/* SPDX-License-Identifier: ISC */
/* Between the two halves of the launcher: one packet a request, in the form of common/net/ipc.h. */
#ifndef POSTRIDER_DELIVERY_LIB_LAUNCHER_CHILD_H
#define POSTRIDER_DELIVERY_LIB_LAUNCHER_CHILD_H

#include "delivery/lib/launcher.h"

enum launch_type { LAUNCH_MAILBOX = 1, LAUNCH_PROGRAM, LAUNCH_READ };
enum launch_field {
	LAUNCH_NAME = 1, LAUNCH_UID, LAUNCH_GID, LAUNCH_HEAD, LAUNCH_EOL, LAUNCH_FLAGS,
	LAUNCH_PATH,                  /* mailbox, file to read, working directory */
	LAUNCH_ANY,                   /* any_file, any_owner */
	LAUNCH_ARGUMENT, LAUNCH_VARIABLE, LAUNCH_COMMAND, LAUNCH_SUCCESS, LAUNCH_SECONDS
};

/* The launcher, till the agent closes its end of `fd`. */
_Noreturn void launcher_main(const struct launcher_rules *rules, int fd);

#endif
