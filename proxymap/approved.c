/* SPDX-License-Identifier: ISC */
#include "proxymap/approved.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/master_cf.h"
#include "tables/table_types.h"

#define BUCKETS    64
#define TABLES_MAX 4096
#define PROXY      SLICE("proxy:")

struct approved {
	struct approved_table *buckets[BUCKETS];
	size_t count;
};

static struct approved_table **bucket_of(struct approved *a, struct slice spec)
{
	return &a->buckets[slice_hash(spec) % BUCKETS];
}

struct approved_table *approved_find(struct approved *a, struct slice spec)
{
	struct approved_table *t = *bucket_of(a, spec);

	while (t && !slice_eq(slice_of(t->spec), spec))
		t = t->next;
	return t;
}

size_t approved_count(const struct approved *a)
{
	return a->count;
}

/* --- collecting --- */

/* NULL: there is no room. */
static struct approved_table *add(struct approved *a, struct slice spec)
{
	struct approved_table *t = approved_find(a, spec), **bucket = bucket_of(a, spec);

	if (t)
		return t;
	if (a->count == TABLES_MAX) {
		log_warning("more than %d tables: %.*s is left out", TABLES_MAX, SLICE_FMT(spec));
		return NULL;
	}
	t = mem_alloc(sizeof(*t));
	t->spec = mem_slicedup(spec);
	t->next = *bucket;
	*bucket = t;
	a->count++;
	return t;
}

static void add_policy_service(struct approved *a, struct slice server)
{
	struct str spec = { 0 };

	str_printf(&spec, "policy:%.*s", SLICE_FMT(server));
	struct approved_table *t = add(a, str_slice(&spec));

	if (t)
		t->service = true;
	str_free(&spec);
}

/*
 * Words with a type that is asked through proxymap, and servers after "check_policy_service"; braces hold
 * tables of unionmap and kin together.
 */
static void add_words(struct approved *a, struct slice text, bool proxy)
{
	struct slice word;
	bool service = false;

	while (slice_word(&text, " ,\t\r\n{}", &word)) {
		struct slice name = word, type;

		if (service && !proxy)
			add_policy_service(a, word);
		service = slice_eq_nocase(word, SLICE("check_policy_service"));
		if (slice_starts(word, PROXY) != proxy)
			continue;
		while (slice_starts(name, PROXY))
			name = slice_sub(name, PROXY.len, name.len);
		/* "!type:name" in a list of patterns. */
		if (!proxy && name.len > 0 && name.ptr[0] == '!')
			name = word = slice_sub(name, 1, name.len);
		if (slice_cut(&name, ':', &type) && name.len > 0 && table_type_is_outside(type))
			(void)add(a, word);
	}
}

static void add_parameter(const char *name, const char *value, void *context)
{
	add_words(context, slice_of(value), false);
}

/* A service's own -o may name other tables than main.cf. */
static void add_master_cf(struct approved *a, const struct config *config)
{
	struct str path = { 0 };
	struct err err = { 0 };

	str_printf(&path, "%s/master.cf", config_dir(config));
	struct master_cf *cf = master_cf_load(str_cstr(&path), &err);

	if (!cf)
		log_warning("%s", err.text);
	for (size_t i = 0; cf && i < master_cf_count(cf); i++) {
		const struct master_entry *entry = master_cf_entry(cf, i);

		for (size_t o = 0; o < entry->override_count; o++) {
			struct slice value = slice_of(entry->overrides[o].value);

			add_words(a, value, false);
			if (strcmp(entry->overrides[o].name, "proxy_read_maps") == 0)
				add_words(a, value, true);
		}
	}
	master_cf_free(&cf);
	str_free(&path);
}

static void open_all(struct approved *a)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct approved_table *t = a->buckets[i]; t; t = t->next)
			t->table = t->service ? NULL : table_open(t->spec, &t->reason);
}

struct approved *approved_create(const struct config *config)
{
	struct approved *a = mem_alloc(sizeof(*a));

	config_each(config, add_parameter, a);
	add_words(a, slice_of(config_text(config, "proxy_read_maps")), true);
	add_master_cf(a, config);
	open_all(a);
	return a;
}

void approved_free(struct approved **approved)
{
	struct approved *a = *approved;

	if (!a)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct approved_table *t = a->buckets[i], *next; t; t = next) {
			next = t->next;
			table_close(&t->table);
			free(t->spec);
			free(t);
		}
	}
	free(a);
	*approved = NULL;
}

bool approved_changed(struct approved *a)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct approved_table *t = a->buckets[i]; t; t = t->next)
			if (t->table && table_changed(t->table))
				return true;
	return false;
}
