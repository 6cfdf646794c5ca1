/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tools/lib/connect.h"

static const struct config *loaded;

struct config *tool_config(const char *dir)
{
	struct err err;
	struct config *config = config_load(dir, NULL, 0, &err);

	if (!config)
		log_fatal("%s", err.text);
	loaded = config;
	return config;
}

void tool_use_config(const struct config *config)
{
	loaded = config;
}

int tool_connect(const char *service, double deadline, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s/public/%s",
			   config_text(loaded, "queue_directory"), service);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (len >= (int)sizeof(address.sun_path)) {
		err_set(err, ERR_LIMIT, "the path of queue_directory is too long for a socket");
	} else if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		err_set_errno(err, ERR_TEMPORARY, "connect to %s: is the mail system running?", address.sun_path);
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

void tool_run(void (*fn)(void *arg), void *arg)
{
	struct task_group group = { 0 };

	task_spawn(&group, fn, arg);
	task_group_run(&group);
}
