/* SPDX-License-Identifier: ISC */
/* cleanup: makes queue files for those who submit mail, completes and commits them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cleanup/notify.h"
#include "cleanup/submission.h"
#include "common/base/cursor.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "routing/route.h"
#include "tables/table.h"

#define SYNC_THREADS  16
#define DROP_HEADERS  "bcc, content-length, resent-bcc, return-path"
#define DROP_MAX      64

static struct submission_settings settings;
static struct router *router;

static struct slice canonical(void *context, struct slice address, struct arena *arena)
{
	return router_canonical(router, address, arena);
}

static void read_drop_list(const struct config *config)
{
	static struct slice names[DROP_MAX];
	const char *text = config_lookup(config, "message_drop_headers");
	struct slice list = slice_of(text ? text : DROP_HEADERS), name;

	settings.headers.drop = names;
	while (settings.headers.drop_count < DROP_MAX && slice_word(&list, ", \t\r\n", &name))
		names[settings.headers.drop_count++] = name;
}

/* A parameter without a row, as it stands in main.cf; an unusable value is as good as none. */
static const char *field_or_empty(const struct config *config, const char *name)
{
	const char *text = config_lookup(config, name);

	return text && strchr(text, ':') && !strpbrk(text, "\r\n") ? text : "";
}

static bool open_all(const struct process_info *info, struct err *err)
{
	const struct config *config = info->config;
	struct str path = { 0 };

	tables_use_proxy(process_connect);
	settings.headers.hostname = config_text(config, "myhostname");
	settings.headers.origin = config_text(config, "myorigin");
	settings.headers.mail_name = config_text(config, "mail_name");
	settings.headers.undisclosed = field_or_empty(config, "undisclosed_recipients_header");
	settings.headers.always_add_missing = config_bool(config, "always_add_missing_headers");
	read_drop_list(config);
	settings.message_size_limit = (uint64_t)config_int(config, "message_size_limit");
	settings.queue_minfree = (uint64_t)config_int(config, "queue_minfree");
	settings.header_size_limit = (size_t)config_int(config, "header_size_limit");
	settings.hopcount_limit = config_int(config, "hopcount_limit");
	settings.canonical = canonical;
	settings.committed = notify_message;
	settings.busy = process_busy;
	str_printf(&path, "%s/queue", config_text(config, "queue_directory"));
	settings.directory = open(str_cstr(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (settings.directory < 0)
		err_set_errno(err, ERR_PERMANENT, "open directory %s", str_cstr(&path));
	str_free(&path);
	if (settings.directory < 0)
		return false;
	router = router_create(config, err);
	tzset(); /* the zone's file cannot be read later */
	return router != NULL;
}

static void start(const struct process_info *info)
{
	crc32c(0, "", 0); /* makes its table before there are threads */
	crc32c(0, "x", 1);
	signal(SIGIO, SIG_IGN); /* of leases (reuse.h) */
	task_offload_threads(SYNC_THREADS);
	submission_start(&settings);
	spares_start(settings.directory, submission_spares_changed);
	notify_start(process_connect, spares_return, process_busy);
}

/* Files that nobody has asked for; peers that are left go on. */
static void retire(void)
{
	if (process_stopping())
		notify_give_up();
	if (submission_peers() == 0)
		spares_retire();
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = {
		.open = open_all, .start = start, .peer = submission_peer, .retire = retire
	};
	int status = process_main(argc, argv, &ops);

	spares_retire();
	return status;
}
