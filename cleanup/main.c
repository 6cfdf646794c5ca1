/* SPDX-License-Identifier: ISC */
/* cleanup: makes queue files for those who submit mail, completes and commits them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cleanup/notify.h"
#include "authn/signer_proto.h"
#include "cleanup/submission.h"
#include "common/base/cursor.h"
#include "common/base/str.h"
#include "common/process/process.h"
#include "routing/route.h"
#include "tables/table.h"

#define SYNC_THREADS  16
#define TABLES_EVERY  1.0
#define DROP_MAX      64

static struct submission_settings settings;
static struct task_group tasks;

static void read_drop_list(const struct config *config)
{
	static struct slice names[DROP_MAX];
	struct slice list = slice_of(config_text(config, "message_drop_headers")), name;

	settings.headers.drop = names;
	while (settings.headers.drop_count < DROP_MAX && slice_word(&list, ", \t\r\n", &name))
		names[settings.headers.drop_count++] = name;
}

/* An unusable value is as good as none. */
static const char *field_or_empty(const struct config *config, const char *name)
{
	const char *text = config_text(config, name);

	return strchr(text, ':') && !strpbrk(text, "\r\n") ? text : "";
}

static bool overrides(const struct config *config, const char *option)
{
	struct slice list = slice_of(config_text(config, "receive_override_options")), word;

	while (slice_word(&list, ", \t\r\n", &word))
		if (slice_eq(word, slice_of(option)))
			return true;
	return false;
}

static void set_recipients(const struct config *config)
{
	settings.recipients.always_bcc = config_text(config, "always_bcc");
	settings.recipients.keep_original = config_bool(config, "enable_original_recipient");
	settings.recipients.form_only = settings.headers.form_only = overrides(config, "no_address_mappings");
	settings.headers.rewrite_remote = config_text(config, "remote_header_rewrite_domain")[0] != '\0';
	settings.headers.address_limit = (size_t)config_int(config, "header_address_token_limit");
}

static bool open_all(const struct process_info *info, struct err *err)
{
	const struct config *config = info->config;
	struct str path = { 0 };

	tables_use_proxy(process_connect);
	settings.headers.hostname = config_text(config, "myhostname");
	settings.headers.origin = config_text(config, "myorigin");
	settings.headers.authserv_id = config_text(config, "authserv_id");
	settings.headers.mail_name = config_text(config, "mail_name");
	settings.headers.undisclosed = field_or_empty(config, "undisclosed_recipients_header");
	settings.headers.always_add_missing = config_bool(config, "always_add_missing_headers");
	read_drop_list(config);
	settings.message_size_limit = (uint64_t)config_int(config, "message_size_limit");
	settings.queue_minfree = (uint64_t)config_int(config, "queue_minfree");
	settings.header_size_limit = (size_t)config_int(config, "header_size_limit");
	settings.hopcount_limit = config_int(config, "hopcount_limit");
	set_recipients(config);
	settings.sign.headers = slice_of(config_text(config, "dkim_sign_headers"));
	settings.sign.oversigned = slice_of(config_text(config, "dkim_oversign_headers"));
	settings.sign.expire = config_time(config, "dkim_sign_expire");
	settings.sign.timeout = config_time(config, "mailauth_timeout");
	settings.committed = notify_message;
	settings.busy = process_busy;
	settings.flooded = notify_flooded;
	settings.flow_delay = config_time(config, "in_flow_delay");
	str_printf(&path, "%s/queue", config_text(config, "queue_directory"));
	settings.directory = open(str_cstr(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (settings.directory < 0)
		err_set_errno(err, ERR_PERMANENT, "open directory %s", str_cstr(&path));
	str_free(&path);
	if (settings.directory < 0)
		return false;
	settings.recipients.rewriter = rewriter_create(config, err);
	tzset(); /* the zone's file cannot be read later */
	return settings.recipients.rewriter != NULL;
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLES_EVERY) == TASK_READY)
		if (!process_retiring() && router_changed(rewriter_router(settings.recipients.rewriter)))
			process_retire("table changed");
}

static void start(const struct process_info *info)
{
	crc32c(0, "", 0); /* makes its table before there are threads */
	crc32c(0, "x", 1);
	signal(SIGIO, SIG_IGN); /* of leases (reuse.h) */
	task_offload_threads(SYNC_THREADS);
	if (*config_text(info->config, "dkim_signing_table"))
		settings.sign.signer = ipc_client_create("signer", &signer_protocol, process_connect);
	submission_start(&settings);
	spares_start(settings.directory, submission_spares_changed);
	notify_start(process_connect, spares_return, process_busy);
	task_spawn(&tasks, watch_tables, NULL);
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
