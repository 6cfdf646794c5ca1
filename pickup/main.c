/* SPDX-License-Identifier: ISC */
/* pickup: hands mail that local users have put into maildrop/ to cleanup. */
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/process/process.h"
#include "pickup/drop.h"

#define SCAN_INTERVAL 60.0 /* also when nobody knocks */

static struct drop_settings settings;

static int open_directory(const struct config *config, const char *name, struct err *err)
{
	struct str path = { 0 };
	int fd;

	str_printf(&path, "%s/%s", config_text(config, "queue_directory"), name);
	fd = open(str_cstr(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_set_errno(err, ERR_PERMANENT, "open directory %s", str_cstr(&path));
	str_free(&path);
	return fd;
}

static bool open_all(const struct process_info *info, struct err *err)
{
	settings.message_size_limit = (uint64_t)config_int(info->config, "message_size_limit");
	settings.content_filter = config_text(info->config, "content_filter");
	settings.maildrop = open_directory(info->config, "maildrop", err);
	settings.corrupt = settings.maildrop < 0 ? -1 : open_directory(info->config, "corrupt", err);
	return settings.maildrop >= 0 && settings.corrupt >= 0;
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	if (!process_retiring())
		drop_scan();
}

static void start(const struct process_info *info)
{
	static struct ev_timer timer;

	settings.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	settings.busy = process_busy;
	drop_start(&settings);
	ev_timer_init(&timer, on_timer, SCAN_INTERVAL, SCAN_INTERVAL);
	ev_timer_start(loop_get(), &timer);
}

/* A connection is a knock; nothing is read from it. */
static void on_connection(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	close(fd);
	drop_scan();
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = {
		.open = open_all, .start = start, .accept = on_connection, .wakeup = drop_scan
	};

	return process_main(argc, argv, &ops);
}
