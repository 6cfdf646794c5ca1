/* SPDX-License-Identifier: ISC */
#include "tools/lib/queue_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/listing.h"
#include "common/proto/qmgr_proto.h"
#include "tools/lib/connect.h"

#define TIMEOUT 300

struct listing_run {
	const struct config *config;
	queue_list_fn *fn;
	void *context;
	struct str text;           /* received, not taken up to a line break yet */
	bool complete, stopped, failed;
	struct task_event event;
};

/* --- an entry out of its line --- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static void give(struct listing_run *run, struct slice line)
{
	json_t *root = json_loadb(line.ptr, line.len, 0, NULL), *list = json_object_get(root, "recipients"), *one;
	struct queue_recipient *recipients = mem_alloc((json_array_size(list) + 1) * sizeof(*recipients));
	struct queue_entry entry = {
		.id = text_of(root, "queue_id"), .queue = text_of(root, "queue_name"), .from = text_of(root, "sender"),
		.client = text_of(root, "client"), .login = text_of(root, "sasl_username"), .arrival = number_of(root, "arrival_time"),
		.size = number_of(root, "message_size"), .next = number_of(root, "next_attempt"), .recipients = recipients,
		.recipient_count = json_array_size(list),
	};
	size_t i;

	json_array_foreach(list, i, one)
		recipients[i] = (struct queue_recipient){ text_of(one, "address"), text_of(one, "delay_reason"),
							  number_of(one, "attempts") };
	if (root && !run->fn(&entry, line, run->context))
		run->stopped = true;
	free(recipients);
	json_decref(root);
}

static void take(struct listing_run *run, struct slice more)
{
	struct slice rest, line;

	str_append(&run->text, more);
	rest = str_slice(&run->text);
	while (!run->stopped && slice_find(rest, '\n') >= 0) {
		slice_cut(&rest, '\n', &line);
		if (line.len > 0)
			give(run, line);
	}
	struct str left = { 0 };

	str_append(&left, rest);
	str_free(&run->text);
	run->text = left;
}

/* --- from the files, which only root can read --- */

static void list_files(struct listing_run *run)
{
	struct listing_sum sum = { 0 };
	struct str path = { 0 }, out = { 0 };
	const struct dirent *entry;
	DIR *folder;

	if (geteuid() != 0)
		log_fatal("Queue report unavailable - mail system is down");
	log_warning("Mail system is down -- accessing queue directly");
	str_printf(&path, "%s/queue", config_text(run->config, "queue_directory"));
	folder = opendir(str_cstr(&path));
	while (folder && !run->stopped && (entry = readdir(folder))) {
		struct message_layout layout;
		struct err err;
		int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0 && message_read_layout(fd, &layout, &err)) {
			listing_add(dirfd(folder), layout.id, layout.state == MESSAGE_HOLD ? "hold" : "deferred", true, &sum, &out);
			take(run, str_slice(&out));
			str_clear(&out);
		}
		if (fd >= 0)
			close(fd);
	}
	if (folder)
		closedir(folder);
	str_free(&out);
	str_free(&path);
}

/* --- from showq --- */

static void on_text(struct ipc_in *m, void *context)
{
	struct listing_run *run = context;
	struct slice text;

	if (m->type == QMGR_ENTRIES && ipc_get_bytes(m, QMGR_FIELD_TEXT, &text) && !run->stopped)
		take(run, text);
	run->complete |= m->type == QMGR_END || run->stopped;
	task_event_broadcast(&run->event);
}

static void on_lost(void *context)
{
	struct listing_run *run = context;

	run->failed |= !run->complete;
	run->complete = true;
	task_event_broadcast(&run->event);
}

static void ask(void *arg)
{
	struct listing_run *run = arg;
	struct ipc_client *client = ipc_client_create("showq", &qmgr_protocol, tool_connect);
	struct ipc_out packet;
	struct err err;

	ipc_client_on_event(client, on_text, run);
	ipc_client_on_lost(client, on_lost, run);
	if (!ipc_client_connect(client, loop_now() + TIMEOUT, &err)) {
		ipc_client_free(&client);
		list_files(run);
		return;
	}
	ipc_out_start(&packet, QMGR_LIST, 0);
	ipc_put_text(&packet, QMGR_FIELD_TEXT, "json");
	(void)ipc_client_send(client, &packet);
	while (!run->complete && !run->failed)
		run->failed = task_event_wait(&run->event, loop_now() + TIMEOUT) != TASK_READY;
	if (run->failed)
		log_warning("no whole answer from showq");
	ipc_client_on_lost(client, NULL, NULL);
	ipc_client_free(&client);
}

bool queue_list(const struct config *config, queue_list_fn *fn, void *context)
{
	struct listing_run run = { .config = config, .fn = fn, .context = context };

	tool_run(ask, &run);
	str_free(&run.text);
	return !run.failed;
}
