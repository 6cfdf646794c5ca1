/* SPDX-License-Identifier: ISC */
/* qmgr: owns a queue file from its commit to its removal. */
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/process/process.h"
#include "qmgr/limits.h"
#include "qmgr/qmgr.h"
#include "qmgr/sites.h"
#include "tables/table.h"

#define TABLES_EVERY 1.0

static struct {
	int queue_fd, corrupt_fd;
	struct router *router;
	struct task_group tasks;
} manager;

static bool open_process(const struct process_info *info, struct err *err)
{
	const char *dir = config_text(info->config, "queue_directory");

	tables_use_proxy(process_connect);
	if (chdir(dir) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "enter %s", dir);
	manager.queue_fd = open("queue", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	manager.corrupt_fd = open("corrupt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (manager.queue_fd < 0 || manager.corrupt_fd < 0)
		return err_set_errno(err, ERR_TEMPORARY, "open %s/queue and corrupt", dir);
	manager.router = router_create_for_delivery(info->config, err);
	return manager.router && sites_open(info->config, err) && limits_open(info->config, err);
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLES_EVERY) == TASK_READY)
		if (!process_retiring() && (router_changed(manager.router) || sites_changed() || limits_changed()))
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	agents_open(info->config, schedule_create());
	activate_open(info->config, manager.router);
	queue_open(info->config, manager.queue_fd, manager.corrupt_fd);
	notice_open();
	task_spawn(&manager.tasks, watch_tables, NULL);
}

static void accept_command(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	control_accept(fd, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .accept = accept_command,
						.peer = control_accept, .wakeup = queue_scan };

	return process_main(argc, argv, &ops);
}
