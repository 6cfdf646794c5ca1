/* SPDX-License-Identifier: ISC */
/* postsuper: deletes, holds and releases messages; through qmgr while it runs, else in the files themselves. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/message_file.h"
#include "common/proto/qmgr_proto.h"
#include "tools/lib/connect.h"
#include "tools/lib/queue_list.h"

#define TIMEOUT      300
#define REQUESTS_MAX 256

static const struct action {
	char option;
	uint16_t request;
	const char *done;              /* as in "postsuper: Deleted: 3 messages" */
	enum message_state from, to;   /* without qmgr; `to` MESSAGE_FREE: the file goes */
} actions[] = {
	{ 'd', QMGR_DELETE, "Deleted", MESSAGE_NONE, MESSAGE_FREE },
	{ 'h', QMGR_HOLD, "Placed on hold", MESSAGE_COMMITTED, MESSAGE_HOLD },
	{ 'H', QMGR_RELEASE, "Released from hold", MESSAGE_HOLD, MESSAGE_COMMITTED },
};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static struct {
	struct ipc_client *qmgr;
	int queue_fd;
	const struct action *action;   /* of the present request */
	const char *id;
	size_t count[ACTIONS];
} me;

/* --- without the mail system --- */

static bool act_on_file(int fd, const char *name, struct message_layout *layout)
{
	struct err err;

	if (me.action->to == MESSAGE_FREE)
		return unlinkat(me.queue_fd, name, 0) == 0;
	return layout->state == me.action->from && message_set_state(fd, layout, me.action->to, &err) && fdatasync(fd) == 0;
}

/* `id` NULL: whatever message is in the file. */
static size_t act_on_name(const char *name, const char *id)
{
	struct message_layout layout;
	struct err err;
	bool done;
	int fd;

	if (!message_id_valid(slice_of(name)))
		return 0;
	fd = openat(me.queue_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	done = message_read_layout(fd, &layout, &err) && (!id || strcmp(layout.id, id) == 0) && act_on_file(fd, name, &layout);
	close(fd);
	return done;
}

static size_t act_directly(void)
{
	DIR *dir;
	const struct dirent *entry;
	size_t count = 0;

	if (strcmp(me.id, "ALL") != 0)
		return act_on_name(message_id_name(me.id), me.id);
	dir = fdopendir(openat(me.queue_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (dir && (entry = readdir(dir)))
		count += act_on_name(entry->d_name, NULL);
	if (dir)
		closedir(dir);
	return count;
}

/* --- through qmgr --- */

static void act(void *arg)
{
	size_t *count = arg;
	struct ipc_reply reply;
	struct ipc_out packet;
	struct slice text;
	struct err err;
	uint64_t done;

	if (!ipc_client_connect(me.qmgr, loop_now() + TIMEOUT, &err)) {
		*count += act_directly();
		return;
	}
	ipc_out_start(&packet, me.action->request, ipc_client_request(me.qmgr));
	ipc_put_text(&packet, QMGR_FIELD_ID, me.id);
	if (!ipc_client_call(me.qmgr, &packet, loop_now() + TIMEOUT, &reply, &err))
		log_fatal("%s", err.text);
	(void)ipc_get_u64(&reply.in, QMGR_FIELD_COUNT, &done);
	if (ipc_get_bytes(&reply.in, QMGR_FIELD_TEXT, &text) && text.len)
		log_fatal("%.*s", SLICE_FMT(text));
	*count += done;
	ipc_reply_free(&reply);
}

/* --- those that an expression chooses --- */

struct chosen {
	struct queue_filter *filter;
	double now;
	char **ids;
	size_t count, room;
};

static bool choose(const struct queue_entry *e, struct slice line, void *context)
{
	struct chosen *c = context;

	if (!queue_filter_matches(c->filter, e, c->now))
		return true;
	if (c->count == c->room) {
		c->room = c->room ? 2 * c->room : 256;
		c->ids = mem_realloc(c->ids, c->room * sizeof(*c->ids));
	}
	c->ids[c->count++] = mem_strdup(e->id);
	return true;
}

/* What is done to many is asked about first, by whoever can be asked. */
static bool confirmed(const struct action *action, size_t count, bool yes)
{
	char answer[16] = "";

	if (yes || count == 0)
		return true;
	if (!isatty(0))
		log_fatal("%zu messages match: say --yes when nobody can be asked", count);
	fprintf(stderr, "%zu message%s match%s. %s? [y/N] ", count, count == 1 ? "" : "s", count == 1 ? "es" : "",
		action->request == QMGR_DELETE ? "Delete" : action->request == QMGR_HOLD ? "Hold" : "Release");
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static void act_on_chosen(const struct config *config, const struct action *action, const char *where, bool yes)
{
	struct chosen chosen = { .now = (double)time(NULL) };
	struct err err;

	chosen.filter = queue_filter_parse(where, &err);
	if (!chosen.filter)
		log_fatal("--where: %s", err.text);
	if (!queue_list(config, choose, &chosen))
		log_fatal("the queue could not be read whole: nothing is done");
	me.action = action;
	if (confirmed(action, chosen.count, yes)) {
		for (size_t i = 0; i < chosen.count; i++) {
			me.id = chosen.ids[i];
			tool_run(act, &me.count[action - actions]);
		}
	}
	for (size_t i = 0; i < chosen.count; i++)
		free(chosen.ids[i]);
	free(chosen.ids);
	queue_filter_free(&chosen.filter);
}

/* --- the command --- */

struct request {
	const struct action *action;
	const char *id;                /* "-": IDs on standard input, a line each; "WHERE": those that --where chooses */
};

struct options {
	const char *dir, *where;
	bool yes;
};

static const struct option long_options[] = {
	{ "where", required_argument, NULL, 'w' }, { "yes", no_argument, NULL, 'y' }, { 0 },
};

static void run(const struct config *config, const struct request *request, const struct options *options)
{
	size_t *count = &me.count[request->action - actions];
	char line[256];

	if (strcmp(request->id, "WHERE") == 0 && options->where) {
		act_on_chosen(config, request->action, options->where, options->yes);
		return;
	}
	me.action = request->action;
	me.id = request->id;
	if (strcmp(request->id, "-") != 0) {
		tool_run(act, count);
		return;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, " \t\r\n")] = '\0';
		me.id = line;
		if (line[0])
			tool_run(act, count);
	}
}

static const struct action *find_action(int option)
{
	for (size_t i = 0; i < ACTIONS; i++)
		if (actions[i].option == option)
			return &actions[i];
	return NULL;
}

static size_t take_options(int argc, char **argv, struct options *options, struct request requests[REQUESTS_MAX])
{
	size_t count = 0;
	int option;

	while ((option = getopt_long(argc, argv, "c:d:h:H:v", long_options, NULL)) > 0) {
		if (option == 'c')
			options->dir = optarg;
		else if (option == 'w')
			options->where = optarg;
		else if (option == 'y')
			options->yes = true;
		else if (find_action(option) && count < REQUESTS_MAX)
			requests[count++] = (struct request){ find_action(option), optarg };
		else if (option != 'v')
			return 0;
	}
	return optind == argc ? count : 0;
}

int main(int argc, char **argv)
{
	struct request requests[REQUESTS_MAX];
	struct options options = { 0 };
	size_t count = take_options(argc, argv, &options, requests);
	struct config *config;
	char path[4096];

	if (count == 0) {
		fprintf(stderr, "usage: postsuper [-c dir] [-d id] [-h id] [-H id] ...\n"
				"  delete, hold, release; an id may be ALL, or - for IDs on standard input\n"
				"       postsuper [-c dir] -d WHERE --where expression [--yes]\n"
				"  as in: postsuper -h WHERE --where 'domain=far.test and age>2h'\n");
		return 64;
	}
	config = tool_config(options.dir);
	snprintf(path, sizeof(path), "%s/queue", config_text(config, "queue_directory"));
	me.queue_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (me.queue_fd < 0)
		log_fatal("open %s: %m", path);
	me.qmgr = ipc_client_create("qmgr", &qmgr_protocol, tool_connect);
	for (size_t i = 0; i < count; i++)
		run(config, &requests[i], &options);
	for (size_t i = 0; i < ACTIONS; i++) {
		bool asked = false;

		for (size_t j = 0; j < count; j++)
			asked |= requests[j].action == &actions[i];
		if (asked)
			fprintf(stderr, "postsuper: %s: %zu message%s\n", actions[i].done, me.count[i], me.count[i] == 1 ? "" : "s");
	}
	ipc_client_free(&me.qmgr);
	config_free(&config);
	return 0;
}
