/* SPDX-License-Identifier: ISC */
/* auth: checks the log-ins of SMTP clients for smtpd, and counts what each login sends. */
#include <sched.h>
#include <stdlib.h>

#include "auth/limits.h"
#include "auth/notice.h"
#include "auth/profile.h"
#include "auth/sessions.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/sasl/library.h"
#include "common/process/process.h"
#include "common/proto/cleanup_proto.h"
#include "tables/table.h"

#define TABLE_CHECK 1.0

/* A limit: "1000", "hash:/etc/postrider/limits", or both: the number holds for who is not in the table. */
struct limit_setting {
	const char *name;
	uint64_t number;
	struct table_list *exceptions;
};

static struct {
	struct limits *limits;
	struct limit_setting messages, recipients;
	double unit;
	struct notice_settings notice;
	struct ipc_client *cleanup;
	struct task_group background;
} me = { .messages.name = "smtpd_sasl_message_rate_limit", .recipients.name = "smtpd_sasl_recipient_rate_limit" };

/* --- limits --- */

static bool open_limit(const struct config *config, struct limit_setting *setting, struct err *err)
{
	struct slice rest = slice_of(config_text(config, setting->name)), word;
	struct str specs = { 0 };

	while (slice_word(&rest, " \t\r\n,", &word)) {
		if (slice_to_u64(word, &setting->number))
			continue;
		str_append(&specs, word);
		str_append_byte(&specs, ' ');
	}
	setting->exceptions = table_list_open(str_cstr(&specs), err);
	str_free(&specs);
	return setting->exceptions || err_prefix(err, "%s", setting->name);
}

static bool find_limit(const struct limit_setting *setting, struct slice user, uint64_t *limit, struct err *err)
{
	struct arena *arena;
	struct slice value;
	bool ok = true;

	*limit = setting->number;
	if (table_list_empty(setting->exceptions))
		return true;
	arena = arena_create(0);
	switch (table_list_lookup(setting->exceptions, user, arena, &value, err)) {
	case TABLE_FOUND:
		ok = slice_to_u64(slice_trim(value), limit) ||
		     err_set(err, ERR_SYNTAX, "%s: the value of %.*s is not a number", setting->name, SLICE_FMT(user));
		break;
	case TABLE_NOT_FOUND:
		break;
	case TABLE_ERROR:
		ok = false;
	}
	arena_free(&arena);
	return ok;
}

struct news {
	struct auth_verdict verdict;
	size_t len;
	char user[SASL_LOGIN_MAX];
};

static void tell_postmaster(void *arg)
{
	struct news *news = arg;
	struct str text = { 0 };
	struct err err = { 0 };

	notice_write(&me.notice, slice_make(news->user, news->len), &news->verdict, loop_now(), &text);
	if (!notice_send(me.cleanup, &me.notice, str_slice(&text), &err))
		log_warning("cannot tell the postmaster of login %.*s: %s", (int)news->len, news->user, err.text);
	str_free(&text);
	free(news);
	process_busy(-1);
}

static void report_over(struct slice user, const struct auth_verdict *verdict)
{
	struct news *news = mem_alloc(sizeof(*news));

	log_warning("login %.*s: %s rate limit of %llu exceeded; the postmaster is told", SLICE_FMT(user),
		    verdict->over == AUTH_OVER_MESSAGES ? "message" : "recipient", (unsigned long long)verdict->limit);
	news->verdict = *verdict;
	news->len = user.len;
	memcpy(news->user, user.ptr, user.len);
	process_busy(1);
	if (!task_spawn(&me.background, tell_postmaster, news)) {
		free(news);
		process_busy(-1);
	}
}

static bool count(const struct auth_counting *counting, struct auth_verdict *verdict, struct err *err)
{
	struct limits_rule rule = { .unit = me.unit };
	bool first;

	if (!find_limit(&me.messages, counting->user, &rule.messages, err) ||
	    !find_limit(&me.recipients, counting->user, &rule.recipients, err)) {
		log_warning("%s", err->text);
		return false;
	}
	limits_count(me.limits, counting, &rule, loop_now(), verdict, &first);
	if (first)
		report_over(counting->user, verdict);
	return true;
}

/* --- the process --- */

/* Complete, as this message has no author whose domain could be added. */
static const char *complete(const char *recipient, const char *origin)
{
	struct str address = { 0 };

	str_append_text(&address, recipient);
	if (!strchr(recipient, '@'))
		str_printf(&address, "@%s", origin);
	return str_detach(&address);
}

static bool open_counts(const struct config *c, struct err *err)
{
	struct str path = { 0 };

	str_printf(&path, "%s/login_counts", config_text(c, "data_directory"));
	me.limits = limits_open(str_cstr(&path), err);
	str_free(&path);
	return me.limits && open_limit(c, &me.messages, err) && open_limit(c, &me.recipients, err);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	const struct config *c = info->config;
	struct sessions_settings settings = { config_time(c, "smtpd_timeout"), count, process_busy };
	cpu_set_t set;

	me.unit = config_time(c, "smtpd_sasl_rate_time_unit");
	me.notice = (struct notice_settings){ config_text(c, "myhostname"), config_text(c, "mail_name"),
					      complete(config_text(c, "error_notice_recipient"), config_text(c, "myorigin")) };
	gate_open(sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) + 1 : 2);
	sessions_open(&settings);
	tables_use_config(c);
	tables_use_proxy(process_connect);
	return sasl_library_prepare(err) && open_counts(c, err) && profiles_open(c, process_connect, err);
}

static void narrow(unsigned *groups, enum service_root *root)
{
	*groups = SYS_BASE | SYS_THREADS | profiles_groups();
	*root = profiles_root();
}

static void watch_tables(void *arg)
{
	while (task_sleep(TABLE_CHECK) == TASK_READY) {
		if (process_retiring())
			return;
		if (profiles_changed() || table_list_changed(me.messages.exceptions) || table_list_changed(me.recipients.exceptions)) {
			process_retire("table changed");
			return;
		}
	}
}

static void start(const struct process_info *info)
{
	me.cleanup = ipc_client_create("cleanup", &cleanup_protocol, process_connect);
	task_spawn(&me.background, watch_tables, NULL);
}

static void accept_peer(int fd, const char *role)
{
	sessions_accept(fd);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .narrow = narrow, .start = start,
						.peer = accept_peer, .retire = sessions_retire };

	return process_main(argc, argv, &ops);
}
