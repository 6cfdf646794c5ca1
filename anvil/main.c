/* SPDX-License-Identifier: ISC */
/* anvil: counts what clients do, for the limits of all smtpd processes together. */
#include <stdlib.h>

#include "anvil/counts.h"
#include "common/base/log.h"
#include "common/process/process.h"

static struct {
	struct counts *counts;
	double unit, report;           /* seconds */
	struct task_group background;
} me;

static void on_count(struct ipc_channel *ch, const struct ipc_in *m)
{
	struct anvil_counts result;
	enum anvil_event event;
	struct anvil_who who;
	struct ipc_out out;
	struct err err;

	if (!anvil_get_count(m, &who, &event, &err)) {
		log_warning("smtpd: %s", err.text);
		return;
	}
	counts_add(me.counts, &who, event, ch, loop_now(), &result);
	if (anvil_put_counted(&out, m->request, &result))
		(void)ipc_send(ch, &out);
}

static void on_message(struct ipc_channel *ch, struct ipc_in *m, void *context)
{
	struct anvil_who who;
	struct err err;

	if (m->type == ANVIL_COUNT)
		on_count(ch, m);
	else if (anvil_get_leave(m, &who, &err))
		counts_leave(me.counts, &who, ch);
	else
		log_warning("smtpd: %s", err.text);
}

static void on_close(struct ipc_channel *ch, void *context)
{
	counts_leave_all(me.counts, ch);
	ipc_channel_free(&ch);
}

static void accept_peer(int fd, const char *role)
{
	static const struct ipc_handler handler = { .on_message = on_message, .on_close = on_close };

	(void)ipc_channel_create(fd, &anvil_protocol, &handler, NULL);
}

static void write_line(const char *text, void *context)
{
	log_info("statistics: %s", text);
}

static void sweep(void *arg)
{
	while (task_sleep(me.unit) == TASK_READY && !process_retiring())
		counts_sweep(me.counts, loop_now());
}

static void report(void *arg)
{
	while (task_sleep(me.report) == TASK_READY && !process_retiring())
		counts_statistics(me.counts, write_line, NULL);
}

static bool open_process(const struct process_info *info, struct err *err)
{
	me.unit = config_time(info->config, "anvil_rate_time_unit");
	me.report = config_time(info->config, "anvil_status_update_time");
	me.counts = counts_create(me.unit);
	return true;
}

static void start(const struct process_info *info)
{
	task_spawn(&me.background, sweep, NULL);
	task_spawn(&me.background, report, NULL);
}

static void retire(void)
{
	counts_statistics(me.counts, write_line, NULL);
}

int main(int argc, char **argv)
{
	static const struct process_ops ops = { .open = open_process, .start = start, .peer = accept_peer, .retire = retire };

	return process_main(argc, argv, &ops);
}
