/* SPDX-License-Identifier: ISC */
/* postqueue: lists the queue, and has deferred mail tried now. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/mail/listing.h"
#include "common/proto/qmgr_proto.h"
#include "tools/lib/connect.h"
#include "tools/lib/queue_report.h"

#define TIMEOUT 300

struct request {
	char action;             /* p j f i s */
	const char *argument;
	const struct config *config;
	bool complete;
	int status;
	struct task_event event;
	bool has_report;
	struct queue_report_options report;
};

static void on_text(struct ipc_in *m, void *context)
{
	struct request *r = context;
	struct slice text;

	if (m->type == QMGR_ENTRIES && ipc_get_bytes(m, QMGR_FIELD_TEXT, &text))
		fwrite(text.ptr, 1, text.len, stdout);
	r->complete |= m->type == QMGR_END;
	task_event_broadcast(&r->event);
}

static void on_lost(void *context)
{
	struct request *r = context;

	if (!r->complete)
		r->status = 1;
	r->complete = true;
	task_event_broadcast(&r->event);
}

/* By the files themselves, which only root can read. */
static void list_directly(const struct request *r)
{
	struct listing_sum sum = { 0 };
	struct str path = { 0 }, out = { 0 };
	const struct dirent *entry;
	DIR *folder;

	if (geteuid() != 0)
		log_fatal("Queue report unavailable - mail system is down");
	log_warning("Mail system is down -- accessing queue directly");
	str_printf(&path, "%s/queue", config_text(r->config, "queue_directory"));
	folder = opendir(str_cstr(&path));
	while (folder && (entry = readdir(folder))) {
		struct message_layout layout;
		struct err err;
		int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		bool there = fd >= 0 && message_read_layout(fd, &layout, &err);

		if (fd >= 0)
			close(fd);
		if (!there)
			continue;
		if (sum.messages == 0 && r->action == 'p')
			listing_start(&out);
		listing_add(dirfd(folder), layout.id, layout.state == MESSAGE_HOLD ? "hold" : "deferred", r->action == 'j', &sum,
			    &out);
		fwrite(out.data, 1, out.len, stdout);
		str_clear(&out);
	}
	if (r->action == 'p')
		listing_end(&sum, &out);
	fwrite(out.data ? out.data : "", 1, out.len, stdout);
	if (folder)
		closedir(folder);
	str_free(&out);
	str_free(&path);
}

static void list(void *arg)
{
	struct request *r = arg;
	struct ipc_client *client = ipc_client_create("showq", &qmgr_protocol, tool_connect);
	struct ipc_out packet;
	struct err err;

	ipc_client_on_event(client, on_text, r);
	ipc_client_on_lost(client, on_lost, r);
	if (!ipc_client_connect(client, loop_now() + TIMEOUT, &err)) {
		ipc_client_free(&client);
		list_directly(r);
		return;
	}
	ipc_out_start(&packet, QMGR_LIST, 0);
	ipc_put_text(&packet, QMGR_FIELD_TEXT, r->action == 'j' ? "json" : "text");
	(void)ipc_client_send(client, &packet);
	while (!r->complete)
		if (task_event_wait(&r->event, loop_now() + TIMEOUT) != TASK_READY)
			log_fatal("no answer from showq");
	ipc_client_on_lost(client, NULL, NULL);
	ipc_client_free(&client);
}

static void flush(void *arg)
{
	struct request *r = arg;
	struct ipc_client *client = ipc_client_create("qmgr", &qmgr_protocol, tool_connect);
	struct ipc_reply reply;
	struct ipc_out packet;
	struct err err;
	uint64_t count = 0;

	if (!ipc_client_connect(client, loop_now() + TIMEOUT, &err))
		log_fatal("%s", err.text);
	ipc_out_start(&packet, r->action == 'f' ? QMGR_FLUSH : r->action == 'i' ? QMGR_FLUSH_ID : QMGR_FLUSH_SITE,
		      ipc_client_request(client));
	if (r->argument)
		ipc_put_text(&packet, r->action == 'i' ? QMGR_FIELD_ID : QMGR_FIELD_SITE, r->argument);
	if (!ipc_client_call(client, &packet, loop_now() + TIMEOUT, &reply, &err))
		log_fatal("%s", err.text);
	(void)ipc_get_u64(&reply.in, QMGR_FIELD_COUNT, &count);
	if (r->action == 'i' && count == 0)
		log_warning("%s: no such deferred message", r->argument);
	r->status = r->action == 'i' && count == 0;
	if (r->action == 's' && count == FLUSH_NOT_ELIGIBLE) {
		log_warning("Flush service is not configured for destination \"%s\"", r->argument);
		r->status = EX_UNAVAILABLE;
	} else if (r->action == 's' && count != FLUSH_STARTED) {
		log_warning("Cannot flush mail queue for \"%s\": %s", r->argument,
			    count == FLUSH_MALFORMED ? "invalid site name" : "try again later");
		r->status = count == FLUSH_MALFORMED ? EX_USAGE : EX_TEMPFAIL;
	}
	ipc_reply_free(&reply);
	ipc_client_free(&client);
}

enum { OPTION_WHERE = 256, OPTION_COUNT, OPTION_BY, OPTION_SORT, OPTION_LIMIT };

static const struct option long_options[] = {
	{ "where", required_argument, NULL, OPTION_WHERE }, { "count", no_argument, NULL, OPTION_COUNT },
	{ "by", required_argument, NULL, OPTION_BY }, { "sort", required_argument, NULL, OPTION_SORT },
	{ "limit", required_argument, NULL, OPTION_LIMIT }, { 0 },
};

static bool take_report_option(int option, struct request *r)
{
	uint64_t number = 0;

	switch (option) {
	case OPTION_WHERE: r->report.where = optarg; break;
	case OPTION_COUNT: r->report.count = true; break;
	case OPTION_BY: r->report.by = optarg; break;
	case OPTION_SORT: r->report.sort = optarg; break;
	case OPTION_LIMIT:
		if (!slice_to_u64(slice_of(optarg), &number) || number == 0)
			log_fatal("--limit %s: expected a number", optarg);
		r->report.limit = (size_t)number;
		break;
	default: return false;
	}
	r->has_report = true;
	return true;
}

int main(int argc, char **argv)
{
	struct request r = { 0 };
	const char *dir = NULL;
	struct config *config;
	struct err err = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "c:pjfi:s:v", long_options, NULL)) > 0) {
		if (option == 'c')
			dir = optarg;
		else if (take_report_option(option, &r))
			continue;
		else if (option == '?')
			r.action = '?';
		else if (option != 'v' && r.action)
			r.action = '?';
		else if (option != 'v') {
			r.action = (char)option;
			r.argument = optarg;
		}
	}
	/* A report without more said is for people. */
	if (r.has_report && !r.action)
		r.action = 'p';
	r.report.json = r.action == 'j';
	if (r.action == 0 || r.action == '?' || optind != argc || (r.has_report && r.action != 'p' && r.action != 'j')) {
		fprintf(stderr, "usage: postqueue [-c dir] -p | -j | -f | -i queue_id | -s site\n"
				"       postqueue [-c dir] [-p | -j] [--where expression] [--count] [--by key] [--sort key] [--limit number]\n"
				"  as in: postqueue --where 'to~@gmail.com and age>2h' --by reason\n");
		return 64;
	}
	config = tool_config(dir);
	r.config = config;
	if (r.has_report && !queue_report(config, &r.report, &err))
		log_fatal("%s", err.text);
	if (!r.has_report)
		tool_run(r.action == 'p' || r.action == 'j' ? list : flush, &r);
	config_free(&config);
	return r.status;
}
