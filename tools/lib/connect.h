/* SPDX-License-Identifier: ISC */
/* For commands: a configuration, and connections to the sockets in queue_directory/public. */
#ifndef POSTRIDER_TOOLS_LIB_CONNECT_H
#define POSTRIDER_TOOLS_LIB_CONNECT_H

#include "common/config/config.h"
#include "common/net/ipc.h"

/* Loads main.cf, or ends the command with a message. */
struct config *tool_config(const char *dir);
/* For a configuration that was loaded otherwise. */
void tool_use_config(const struct config *config);
/* An ipc_connect_fn for public/SERVICE of the configuration in use. */
int tool_connect(const char *service, double deadline, struct err *err);
/* Runs fn as a task to its end. */
void tool_run(void (*fn)(void *arg), void *arg);

#endif
