/* SPDX-License-Identifier: ISC */
#include "smtpd/screen_lists.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/proto/resolver_proto.h"
#include "policy/rules.h"
#include "tables/table.h"

#define ACCESS_MAX 64
#define SITES_MAX  100

struct access_rule {
	enum screen_access fixed;      /* SCREEN_ACCESS_DUNNO: ask the table, or mynetworks */
	struct table *table;           /* NULL: permit_mynetworks */
};

struct site {
	struct dnsbl_zone zone;
	long weight;
};

struct screen_lists {
	struct arena *arena;           /* of the sites */
	struct access_rule access[ACCESS_MAX];
	size_t access_count;
	struct match_list *mynetworks;
	struct site site[SITES_MAX];
	size_t site_count;
	struct table_list *names;      /* postscreen_dnsbl_reply_map */
	double timeout;
};

/* --- loading --- */

static bool add_access(struct screen_lists *l, struct slice word, struct err *err)
{
	struct access_rule *r = &l->access[l->access_count];
	char *spec;

	if (l->access_count == ACCESS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d entries", ACCESS_MAX);
	l->access_count++;
	if (slice_eq_nocase(word, SLICE("permit_mynetworks")))
		return true;
	if (slice_eq_nocase(word, SLICE("permit")) || slice_eq_nocase(word, SLICE("reject"))) {
		r->fixed = slice_eq_nocase(word, SLICE("permit")) ? SCREEN_ACCESS_PERMIT : SCREEN_ACCESS_REJECT;
		return true;
	}
	if (slice_find(word, ':') < 0)
		return err_set(err, ERR_SYNTAX, "\"%.*s\" is none of permit_mynetworks, permit, reject, type:table", SLICE_FMT(word));
	spec = mem_slicedup(word);
	r->table = table_open(spec, err);
	free(spec);
	return r->table != NULL;
}

/* "list.example.com=127.0.0.[2;4..8]*-3" */
static bool add_site(struct screen_lists *l, struct slice word, struct err *err)
{
	struct site *s = &l->site[l->site_count];
	ptrdiff_t star = slice_rfind(word, '*');
	int64_t weight = 1;

	if (l->site_count == SITES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d lists", SITES_MAX);
	if (star >= 0) {
		if (!slice_to_i64(slice_sub(word, (size_t)star + 1, word.len), &weight) || weight < -1000000 || weight > 1000000)
			return err_set(err, ERR_SYNTAX, "\"%.*s\" has no weight behind its *", SLICE_FMT(word));
		word = slice_sub(word, 0, (size_t)star);
	}
	l->site_count++;
	s->weight = (long)weight;
	return dnsbl_parse(word, l->arena, &s->zone, err);
}

/* Words are parted by commas and white space, but not inside braces (inline tables). */
static bool next_entry(struct slice *rest, struct slice *word)
{
	size_t depth = 0, at = 0;

	*rest = slice_trim(*rest);
	while (rest->len > 0 && rest->ptr[0] == ',')
		*rest = slice_trim(slice_sub(*rest, 1, rest->len));
	for (; at < rest->len; at++) {
		char c = rest->ptr[at];

		depth += c == '{';
		depth -= c == '}' && depth > 0;
		if (depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			break;
	}
	*word = slice_sub(*rest, 0, at);
	*rest = slice_sub(*rest, at, rest->len);
	return word->len > 0;
}

static bool add_all(struct screen_lists *l, const struct config *c, const char *name,
		    bool (*add)(struct screen_lists *l, struct slice word, struct err *err), struct err *err)
{
	struct slice rest = slice_of(config_text(c, name)), word;

	while (next_entry(&rest, &word))
		if (!add(l, word, err))
			return err_prefix(err, "%s", name);
	return true;
}

struct screen_lists *screen_lists_load(const struct config *c, struct err *err)
{
	struct screen_lists *l = mem_alloc(sizeof(*l));

	l->arena = arena_create(1024);
	l->timeout = config_time(c, "postscreen_dnsbl_timeout");
	l->mynetworks = match_list_open(config_text(c, "mynetworks"), MATCH_NETWORK, err);
	if (!l->mynetworks)
		return NULL;
	l->names = table_list_open(config_text(c, "postscreen_dnsbl_reply_map"), err);
	if (!l->names)
		return NULL;
	return add_all(l, c, "postscreen_access_list", add_access, err) && add_all(l, c, "postscreen_dnsbl_sites", add_site, err)
		       ? l
		       : NULL;
}

bool screen_lists_changed(struct screen_lists *l)
{
	bool changed = match_list_changed(l->mynetworks) || table_list_changed(l->names);

	for (size_t i = 0; i < l->access_count; i++)
		changed = changed || (l->access[i].table && table_changed(l->access[i].table));
	return changed;
}

bool screen_lists_has_dnsbl(const struct screen_lists *l)
{
	return l->site_count > 0;
}

/* --- the access list --- */

static enum screen_access ask_rule(struct screen_lists *l, const struct access_rule *r, struct slice address, struct arena *arena)
{
	enum screen_access access = r->fixed;
	enum table_result found;
	struct slice value;
	struct err err = { 0 };

	if (access != SCREEN_ACCESS_DUNNO)
		return access;
	if (!r->table) {
		found = match_list_test(l->mynetworks, address, &err);
		access = found == TABLE_FOUND ? SCREEN_ACCESS_PERMIT : SCREEN_ACCESS_DUNNO;
	} else {
		found = table_lookup(r->table, address, arena, &value, &err);
		value = found == TABLE_FOUND ? slice_trim(value) : SLICE_NONE;
		if (slice_eq_nocase(value, SLICE("permit")))
			access = SCREEN_ACCESS_PERMIT;
		else if (slice_eq_nocase(value, SLICE("reject")))
			access = SCREEN_ACCESS_REJECT;
		else if (found == TABLE_FOUND && !slice_eq_nocase(value, SLICE("dunno")))
			log_warning("%s: \"%.*s\" is none of permit, reject, dunno", table_name(r->table), SLICE_FMT(value));
	}
	if (found == TABLE_ERROR)
		log_warning("postscreen_access_list: %s", err.text);
	return access;
}

enum screen_access screen_lists_access(struct screen_lists *l, const char *address)
{
	struct arena *arena = arena_create(256);
	enum screen_access access = SCREEN_ACCESS_DUNNO;

	for (size_t i = 0; i < l->access_count && access == SCREEN_ACCESS_DUNNO; i++)
		access = ask_rule(l, &l->access[i], slice_of(address), arena);
	arena_free(&arena);
	return access;
}

/* --- DNS lists --- */

/* Lives till its last task has ended, whoever has given it up. */
struct screen_inquiry {
	struct screen_lists *lists;
	struct ipc_client *resolver;
	struct task_group tasks;
	struct task_event answered;
	double deadline;
	struct slice reversed;         /* of the address */
	struct arena *arena;
	size_t next;                   /* site of the task that starts next */
	bool listed[SITES_MAX];
	bool unsure;                   /* some question had no answer */
	bool given_up;
};

static void destroy(void *context)
{
	struct screen_inquiry *q = context;

	task_event_broadcast(&q->answered);
	if (!q->given_up)
		return;
	arena_free(&q->arena);
	free(q);
}

static void ask_site(void *arg)
{
	struct screen_inquiry *q = arg;
	size_t index = q->next++;
	const struct site *site = &q->lists->site[index];
	struct arena *arena = arena_create(512);
	const char *name = arena_printf(arena, "%.*s.%.*s", SLICE_FMT(q->reversed), SLICE_FMT(site->zone.domain));
	struct dns_answer answer;

	resolver_query(q->resolver, slice_of(name), DNS_A, q->deadline, arena, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++)
		if (answer.records[i].type == DNS_A && answer.records[i].data.len == 4 &&
		    dnsbl_filter_matches(&site->zone, (const unsigned char *)answer.records[i].data.ptr))
			q->listed[index] = true;
	q->unsure = q->unsure || answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS;
	arena_free(&arena);
}

bool screen_inquiry_unsure(const struct screen_inquiry *q)
{
	return q->unsure || q->tasks.count > 0;
}

struct screen_inquiry *screen_inquiry_begin(struct screen_lists *l, const char *address, struct ipc_client *resolver)
{
	struct screen_inquiry *q = mem_alloc(sizeof(*q));

	q->lists = l;
	q->resolver = resolver;
	q->arena = arena_create(256);
	q->deadline = loop_now() + l->timeout;
	q->reversed = dnsbl_reversed(q->arena, address);
	q->tasks.on_empty = destroy;
	q->tasks.context = q;
	for (size_t i = 0; i < l->site_count && q->reversed.len > 0; i++)
		if (!task_spawn(&q->tasks, ask_site, q)) {
			log_warning("no memory to ask %.*s", SLICE_FMT(l->site[i].zone.domain));
			break;
		}
	return q;
}

static void name_site(struct screen_inquiry *q, const struct site *site, const char *address, char *text, size_t size)
{
	struct slice name = site->zone.domain, value;
	struct err err = { 0 };

	if (table_list_lookup(q->lists->names, name, q->arena, &value, &err) == TABLE_FOUND)
		name = value;
	(void)snprintf(text, size, "Service unavailable; client [%s] blocked using %.*s", address, SLICE_FMT(name));
}

long screen_inquiry_end(struct screen_inquiry *q, const char *address, char *text, size_t size)
{
	long score = 0;
	const struct site *first = NULL;

	while (q->tasks.count > 0 && task_event_wait(&q->answered, q->deadline) == TASK_READY)
		;
	for (size_t i = 0; i < q->lists->site_count; i++) {
		if (!q->listed[i])
			continue;
		score += q->lists->site[i].weight;
		if (!first && q->lists->site[i].weight > 0)
			first = &q->lists->site[i];
	}
	text[0] = '\0';
	if (first)
		name_site(q, first, address, text, size);
	return score;
}

void screen_inquiry_free(struct screen_inquiry **qp)
{
	struct screen_inquiry *q = *qp;

	*qp = NULL;
	q->given_up = true;
	if (q->tasks.count == 0)
		destroy(q);
	else
		task_group_cancel(&q->tasks);
}
