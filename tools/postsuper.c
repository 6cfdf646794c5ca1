/* SPDX-License-Identifier: ISC */
/* postsuper: deletes messages; through qmgr while it runs, else the files themselves. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/message_file.h"
#include "common/proto/qmgr_proto.h"
#include "tools/lib/connect.h"

#define TIMEOUT 300

struct deletion {
	struct ipc_client *qmgr;  /* NULL: the mail system is down */
	int queue_fd;
	const char *id;
	size_t count;
};

/* `id` NULL: whatever message is in the file. */
static size_t delete_file(struct deletion *d, const char *name, const char *id)
{
	struct message_layout layout;
	struct err err;
	bool found;
	int fd;

	if (!message_id_valid(slice_of(name)))
		return 0;
	fd = openat(d->queue_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	found = message_read_layout(fd, &layout, &err) && (!id || strcmp(layout.id, id) == 0);
	close(fd);
	return found && unlinkat(d->queue_fd, name, 0) == 0;
}

static size_t delete_directly(struct deletion *d)
{
	DIR *dir;
	const struct dirent *entry;
	size_t count = 0;

	if (strcmp(d->id, "ALL") != 0)
		return delete_file(d, message_id_name(d->id), d->id);
	dir = fdopendir(openat(d->queue_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (dir && (entry = readdir(dir)))
		count += delete_file(d, entry->d_name, NULL);
	if (dir)
		closedir(dir);
	return count;
}

static void delete_one(void *arg)
{
	struct deletion *d = arg;
	struct ipc_reply reply;
	struct ipc_out packet;
	struct slice text;
	struct err err;
	uint64_t count;

	if (!d->qmgr || !ipc_client_connect(d->qmgr, loop_now() + TIMEOUT, &err)) {
		d->count += delete_directly(d);
		return;
	}
	ipc_out_start(&packet, QMGR_DELETE, ipc_client_request(d->qmgr));
	ipc_put_text(&packet, QMGR_FIELD_ID, d->id);
	if (!ipc_client_call(d->qmgr, &packet, loop_now() + TIMEOUT, &reply, &err))
		log_fatal("%s", err.text);
	(void)ipc_get_u64(&reply.in, QMGR_FIELD_COUNT, &count);
	if (ipc_get_bytes(&reply.in, QMGR_FIELD_TEXT, &text) && text.len)
		log_fatal("%.*s", SLICE_FMT(text));
	d->count += count;
	ipc_reply_free(&reply);
}

int main(int argc, char **argv)
{
	struct deletion d = { 0 };
	const char *dir = NULL, *ids[256];
	size_t id_count = 0;
	struct config *config;
	char path[4096], line[256];
	int option;

	while ((option = getopt(argc, argv, "c:d:v")) > 0) {
		if (option == 'c')
			dir = optarg;
		else if (option == 'd' && id_count < sizeof(ids) / sizeof(ids[0]))
			ids[id_count++] = optarg;
		else if (option == '?')
			id_count = sizeof(ids);
	}
	if (id_count == 0 || id_count > sizeof(ids) / sizeof(ids[0])) {
		fprintf(stderr, "usage: postsuper [-c dir] -d queue_id | -d ALL | -d - (IDs on standard input)\n");
		return 64;
	}
	config = tool_config(dir);
	snprintf(path, sizeof(path), "%s/queue", config_text(config, "queue_directory"));
	d.queue_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.queue_fd < 0)
		log_fatal("open %s: %m", path);
	d.qmgr = ipc_client_create("qmgr", &qmgr_protocol, tool_connect);
	for (size_t i = 0; i < id_count; i++) {
		d.id = ids[i];
		if (strcmp(ids[i], "-") != 0) {
			tool_run(delete_one, &d);
			continue;
		}
		while (fgets(line, sizeof(line), stdin)) {
			line[strcspn(line, "\r\n")] = '\0';
			d.id = line;
			tool_run(delete_one, &d);
		}
	}
	fprintf(stderr, "postsuper: Deleted: %zu message%s\n", d.count, d.count == 1 ? "" : "s");
	ipc_client_free(&d.qmgr);
	config_free(&config);
	return 0;
}
