/* SPDX-License-Identifier: ISC */
#include "tools/lib/queue_report.h"

#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/str.h"
#include "tools/lib/queue_list.h"

/* --- counting --- */

struct counter {
	char *key;
	size_t messages;
	double rank;               /* order of keys that are no names: age */
};

struct kept {                      /* a message that waits for its turn in a sorted listing */
	char *line;
	double number;
	char *id;
};

struct report {
	const struct queue_report_options *options;
	struct queue_filter *filter;
	double now;
	size_t messages;
	double bytes;
	void *tree;                /* of tsearch(3): counters by key */
	struct counter **counters;
	size_t counter_count, counter_room;
	struct kept *kept;
	size_t kept_count, kept_room;
};

static const char *const by_names[] = { "destination", "sender", "reason", "client", "age", "queue" };
static const char *const sort_names[] = { "age", "size", "next", "id", "attempts" };

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct counter *)a)->key, ((const struct counter *)b)->key);
}

static void count_key(struct report *r, const char *key, double rank)
{
	struct counter wanted = { (char *)(uintptr_t)key, 0, rank }, *c;
	struct counter **found = tfind(&wanted, &r->tree, by_key);

	if (found) {
		(*found)->messages++;
		return;
	}
	c = mem_alloc(sizeof(*c));
	*c = (struct counter){ mem_strdup(key), 1, rank };
	(void)tsearch(c, &r->tree, by_key);
	if (r->counter_count == r->counter_room) {
		r->counter_room = r->counter_room ? 2 * r->counter_room : 64;
		r->counters = mem_realloc(r->counters, r->counter_room * sizeof(*r->counters));
	}
	r->counters[r->counter_count++] = c;
}

static void count_age(struct report *r, double age)
{
	static const struct {
		double below;
		const char *name;
	} steps[] = { { 300, "under 5 minutes" }, { 3600, "under an hour" }, { 6 * 3600, "under 6 hours" }, { 86400, "under a day" },
		      { 3 * 86400.0, "under 3 days" }, { 1e18, "3 days or more" } };
	size_t i = 0;

	while (age >= steps[i].below)
		i++;
	count_key(r, steps[i].name, (double)i);
}

/* A message counts once for each key that its recipients have. */
static void count_recipients(struct report *r, const struct queue_entry *e, bool reason)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		const char *key = reason ? e->recipients[i].reason : queue_domain(e->recipients[i].address);
		bool again = false;

		for (size_t j = 0; j < i && !again; j++)
			again = strcmp(key, reason ? e->recipients[j].reason : queue_domain(e->recipients[j].address)) == 0;
		if (!again)
			count_key(r, *key ? key : "(none)", 0);
	}
}

static void count_entry(struct report *r, const struct queue_entry *e)
{
	const char *by = r->options->by;

	if (strcmp(by, "destination") == 0)
		count_recipients(r, e, false);
	else if (strcmp(by, "reason") == 0)
		count_recipients(r, e, true);
	else if (strcmp(by, "age") == 0)
		count_age(r, r->now - e->arrival);
	else if (strcmp(by, "sender") == 0)
		count_key(r, *e->from ? e->from : "MAILER-DAEMON", 0);
	else if (strcmp(by, "client") == 0)
		count_key(r, *e->client ? e->client : "(local)", 0);
	else
		count_key(r, e->queue, 0);
}

static int more_first(const void *a, const void *b)
{
	const struct counter *x = *(struct counter *const *)a, *y = *(struct counter *const *)b;

	if (x->rank < y->rank || x->rank > y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->messages != y->messages)
		return x->messages > y->messages ? -1 : 1;
	return strcmp(x->key, y->key);
}

static void show_counters(struct report *r)
{
	if (r->counter_count > 0)
		qsort(r->counters, r->counter_count, sizeof(*r->counters), more_first);
	for (size_t i = 0; i < r->counter_count && (!r->options->limit || i < r->options->limit); i++) {
		json_t *one = r->options->json ? json_pack("{s:s, s:I}", "key", r->counters[i]->key, "messages",
							   (json_int_t)r->counters[i]->messages) : NULL;

		if (one) {
			json_dumpf(one, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
			putchar('\n');
			json_decref(one);
		} else {
			printf("%8zu %s\n", r->counters[i]->messages, r->counters[i]->key);
		}
	}
}

/* --- listing --- */

static void show_text(const json_t *root)
{
	time_t arrival = (time_t)json_integer_value(json_object_get(root, "arrival_time"));
	const char *queue = json_string_value(json_object_get(root, "queue_name")),
		   *sender = json_string_value(json_object_get(root, "sender")), *reason = "";
	char stamp[40], id[64];
	json_t *one;
	struct tm tm;
	size_t i;

	strftime(stamp, sizeof(stamp), "%a %b %e %H:%M:%S", localtime_r(&arrival, &tm));
	snprintf(id, sizeof(id), "%s%c", json_string_value(json_object_get(root, "queue_id")), strcmp(queue, "active") == 0 ? '*' :
		 strcmp(queue, "hold") == 0 ? '!' : ' ');
	printf("%-17s %8lld %s  %s\n", id, (long long)json_integer_value(json_object_get(root, "message_size")), stamp,
	       *sender ? sender : "MAILER-DAEMON");
	json_array_foreach(json_object_get(root, "recipients"), i, one)
	{
		const char *why = json_string_value(json_object_get(one, "delay_reason"));

		if (why && strcmp(why, reason) != 0) {
			reason = why;
			printf("%*s(%s)\n", strlen(why) < 75 ? (int)(75 - strlen(why)) : 0, "", why);
		}
		printf("%41s%s\n", "", json_string_value(json_object_get(one, "address")));
	}
	putchar('\n');
}

static void show(const struct report *r, const char *line, bool first)
{
	json_t *root;

	if (r->options->json) {
		puts(line);
		return;
	}
	if (first)
		puts("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------");
	root = json_loads(line, 0, NULL);
	if (root)
		show_text(root);
	json_decref(root);
}

static double sort_number(const struct report *r, const struct queue_entry *e)
{
	const char *sort = r->options->sort;
	double most = 0;

	if (strcmp(sort, "age") == 0)
		return e->arrival;
	if (strcmp(sort, "size") == 0)
		return -e->size;
	if (strcmp(sort, "next") == 0)
		return e->next;
	for (size_t i = 0; i < e->recipient_count && strcmp(sort, "attempts") == 0; i++)
		most = e->recipients[i].attempts > most ? e->recipients[i].attempts : most;
	return -most;
}

static void keep(struct report *r, const struct queue_entry *e, struct slice line)
{
	if (r->kept_count == r->kept_room) {
		r->kept_room = r->kept_room ? 2 * r->kept_room : 256;
		r->kept = mem_realloc(r->kept, r->kept_room * sizeof(*r->kept));
	}
	r->kept[r->kept_count++] = (struct kept){ mem_slicedup(line), sort_number(r, e), mem_strdup(e->id) };
}

static int by_number(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->number < y->number || x->number > y->number)
		return x->number < y->number ? -1 : 1;
	return strcmp(x->id, y->id);
}

static void show_kept(struct report *r)
{
	if (r->kept_count > 0)
		qsort(r->kept, r->kept_count, sizeof(*r->kept), by_number);
	for (size_t i = 0; i < r->kept_count && (!r->options->limit || i < r->options->limit); i++)
		show(r, r->kept[i].line, i == 0);
}

static bool on_entry(const struct queue_entry *e, struct slice line, void *context)
{
	struct report *r = context;
	const struct queue_report_options *o = r->options;

	if (r->filter && !queue_filter_matches(r->filter, e, r->now))
		return true;
	r->messages++;
	r->bytes += e->size;
	if (o->by) {
		count_entry(r, e);
	} else if (o->sort && !o->count) {
		keep(r, e, line);
	} else if (!o->count) {
		char *copy = mem_slicedup(line);

		show(r, copy, r->messages == 1);
		/* Somebody reads it as it comes. */
		if (r->messages == 1)
			fflush(stdout);
		free(copy);
	}
	return o->by || o->sort || o->count || !o->limit || r->messages < o->limit;
}

static bool check_options(const struct queue_report_options *o, struct report *r, struct err *err)
{
	if (o->by && !is_one_of(o->by, by_names, sizeof(by_names) / sizeof(by_names[0])))
		return err_set(err, ERR_SYNTAX, "--by %s: expected destination, sender, reason, client, age or queue", o->by);
	if (o->sort && !is_one_of(o->sort, sort_names, sizeof(sort_names) / sizeof(sort_names[0])))
		return err_set(err, ERR_SYNTAX, "--sort %s: expected age, size, next, id or attempts", o->sort);
	if (o->where) {
		r->filter = queue_filter_parse(o->where, err);
		return r->filter || err_prefix(err, "--where");
	}
	return true;
}

static void end_report(struct report *r)
{
	const struct queue_report_options *o = r->options;

	if (o->by)
		show_counters(r);
	else if (o->count)
		printf("%zu\n", r->messages);
	else if (o->sort)
		show_kept(r);
	if (o->by || o->count || o->json)
		return;
	if (r->messages == 0)
		puts(o->where ? "No message matches" : "Mail queue is empty");
	else
		printf("-- %.0f Kbytes in %zu Request%s.\n", r->bytes / 1024, r->messages, r->messages == 1 ? "" : "s");
}

bool queue_report(const struct config *config, const struct queue_report_options *options, struct err *err)
{
	struct report r = { .options = options, .now = (double)time(NULL) };
	bool ok = check_options(options, &r, err);

	if (ok) {
		ok = queue_list(config, on_entry, &r) || err_set(err, ERR_TEMPORARY, "the listing is not whole");
		end_report(&r);
	}
	for (size_t i = 0; i < r.counter_count; i++) {
		(void)tdelete(r.counters[i], &r.tree, by_key);
		free(r.counters[i]->key);
		free(r.counters[i]);
	}
	for (size_t i = 0; i < r.kept_count; i++) {
		free(r.kept[i].line);
		free(r.kept[i].id);
	}
	free(r.counters);
	free(r.kept);
	queue_filter_free(&r.filter);
	return ok;
}
