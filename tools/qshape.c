/* SPDX-License-Identifier: ISC */
/* qshape: how old the mail for each domain is, as a table; on a terminal with a bar a domain. */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tools/lib/connect.h"
#include "tools/lib/queue_list.h"

#define BUCKETS_MAX 30
#define BAR         30

struct domain {
	char *name;
	size_t total, buckets[BUCKETS_MAX];
};

static struct {
	const char *dir;
	bool by_sender, linear, bars;
	size_t buckets, limit;      /* of age; domains shown, 0: all */
	double first;               /* seconds of the first bucket */
	const char *const *queues;
	size_t queue_count;
	double now;
	struct domain all;
	void *tree;
	struct domain **domains;
	size_t count, room;
} me = { .buckets = 10, .first = 300 };

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct domain *)a)->name, ((const struct domain *)b)->name);
}

static struct domain *domain_of(const char *name)
{
	struct domain wanted = { .name = (char *)(uintptr_t)name }, *d, **found = tfind(&wanted, &me.tree, by_name);

	if (found)
		return *found;
	d = mem_alloc(sizeof(*d));
	d->name = mem_strdup(name);
	(void)tsearch(d, &me.tree, by_name);
	if (me.count == me.room) {
		me.room = me.room ? 2 * me.room : 256;
		me.domains = mem_realloc(me.domains, me.room * sizeof(*me.domains));
	}
	me.domains[me.count++] = d;
	return d;
}

/* The first bucket ends at -t minutes, the next at twice as much (with -l at as much more). */
static size_t bucket_of(double age)
{
	double end = me.first;
	size_t i = 0;

	while (i + 1 < me.buckets && age >= end) {
		end = me.linear ? end + me.first : end * 2;
		i++;
	}
	return i;
}

static void count(const char *address, size_t bucket)
{
	char *name = mem_strdup(*queue_domain(address) ? queue_domain(address) : "MAILER-DAEMON");
	struct domain *d;

	for (char *c = name; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	d = domain_of(name);
	d->total++;
	d->buckets[bucket]++;
	me.all.total++;
	me.all.buckets[bucket]++;
	free(name);
}

static bool on_entry(const struct queue_entry *e, struct slice line, void *context)
{
	size_t bucket = bucket_of(me.now - e->arrival);
	bool wanted = false;

	for (size_t i = 0; i < me.queue_count; i++)
		wanted |= strcmp(me.queues[i], e->queue) == 0;
	if (!wanted)
		return true;
	if (me.by_sender)
		count(e->from, bucket);
	for (size_t i = 0; i < e->recipient_count && !me.by_sender; i++)
		count(e->recipients[i].address, bucket);
	return true;
}

/* --- the table --- */

static int largest_first(const void *a, const void *b)
{
	const struct domain *x = *(struct domain *const *)a, *y = *(struct domain *const *)b;

	return x->total != y->total ? (x->total > y->total ? -1 : 1) : strcmp(x->name, y->name);
}

static void show_row(const struct domain *d, const int widths[BUCKETS_MAX + 1])
{
	printf("%35s %*zu", d->name, widths[0], d->total);
	for (size_t i = 0; i < me.buckets; i++)
		printf(" %*zu", widths[i + 1], d->buckets[i]);
	if (me.bars && me.all.total > 0) {
		size_t length = (d->total * BAR + me.all.total - 1) / me.all.total;

		fputs("  ", stdout);
		for (size_t i = 0; i < length; i++)
			putchar('#');
	}
	putchar('\n');
}

static void show(void)
{
	int widths[BUCKETS_MAX + 1];
	char head[BUCKETS_MAX + 1][24];
	double end = me.first / 60;

	(void)snprintf(head[0], sizeof(head[0]), "T");
	for (size_t i = 0; i < me.buckets; i++) {
		bool last = i + 1 == me.buckets;

		(void)snprintf(head[i + 1], sizeof(head[0]), "%.0f%s", last && i > 0 ? (me.linear ? end - me.first / 60 : end / 2) : end,
			       last ? "+" : "");
		end = me.linear ? end + me.first / 60 : end * 2;
	}
	for (size_t i = 0; i <= me.buckets; i++) {
		int number = snprintf(NULL, 0, "%zu", i == 0 ? me.all.total : me.all.buckets[i - 1]);

		widths[i] = (int)strlen(head[i]) > number ? (int)strlen(head[i]) : number;
	}
	printf("%35s", "");
	for (size_t i = 0; i <= me.buckets; i++)
		printf(" %*s", widths[i], head[i]);
	putchar('\n');
	me.all.name = (char[]){ "TOTAL" };
	show_row(&me.all, widths);
	if (me.count > 0)
		qsort(me.domains, me.count, sizeof(*me.domains), largest_first);
	for (size_t i = 0; i < me.count && (me.limit == 0 || i < me.limit); i++)
		show_row(me.domains[i], widths);
}

/* --- the command --- */

static size_t number_of(const char *text, const char *option, size_t most)
{
	uint64_t number;

	if (!slice_to_u64(slice_of(text), &number) || number == 0 || number > most)
		log_fatal("-%s %s: expected a number from 1 to %zu", option, text, most);
	return (size_t)number;
}

static void usage(void)
{
	fprintf(stderr, "usage: qshape [-s] [-l] [-b buckets] [-t minutes] [-n domains] [-c dir] [queue ...]\n"
			"  queues: active, deferred, hold; without one: active and deferred\n");
	exit(64);
}

int main(int argc, char **argv)
{
	static const char *const usual[] = { "active", "deferred" };
	struct config *config;
	bool whole;
	int option;

	while ((option = getopt(argc, argv, "slb:t:n:c:")) > 0) {
		switch (option) {
		case 's': me.by_sender = true; break;
		case 'l': me.linear = true; break;
		case 'b': me.buckets = number_of(optarg, "b", BUCKETS_MAX); break;
		case 't': me.first = 60.0 * (double)number_of(optarg, "t", 1000000); break;
		case 'n': me.limit = number_of(optarg, "n", SIZE_MAX); break;
		case 'c': me.dir = optarg; break;
		default: usage();
		}
	}
	me.queues = optind < argc ? (const char *const *)argv + optind : usual;
	me.queue_count = optind < argc ? (size_t)(argc - optind) : 2;
	me.now = (double)time(NULL);
	me.bars = isatty(1);
	config = tool_config(me.dir);
	whole = queue_list(config, on_entry, NULL);
	show();
	for (size_t i = 0; i < me.count; i++) {
		(void)tdelete(me.domains[i], &me.tree, by_name);
		free(me.domains[i]->name);
		free(me.domains[i]);
	}
	free(me.domains);
	config_free(&config);
	return whole ? 0 : 1;
}
