/* SPDX-License-Identifier: ISC */
#include "tlsrpt/tally.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#define DOMAINS_MAX  20000u
#define FAILURES_MAX 100u      /* kinds of failure of a policy */

/*
 * {"start": time, "domains": {NAME: {POLICY: {"strings": […], "mx": […], "good": n, "bad": n,
 * "failures": {"result host address reason": n}}}}}
 */
struct tally {
	json_t *root, *domains;
};

struct tally *tally_create(struct slice saved, double now)
{
	struct tally *t = mem_alloc(sizeof(*t));
	json_error_t where;

	t->root = saved.len > 0 ? json_loadb(saved.ptr, saved.len, 0, &where) : NULL;
	t->domains = json_object_get(t->root, "domains");
	if (!json_is_object(t->domains) || !json_is_number(json_object_get(t->root, "start")) || tally_start(t) > now) {
		json_decref(t->root);
		t->root = json_pack("{s:f,s:{}}", "start", now, "domains");
		t->domains = json_object_get(t->root, "domains");
	}
	return t;
}

void tally_free(struct tally **tp)
{
	struct tally *t = *tp;

	if (!t)
		return;
	json_decref(t->root);
	free(t);
	*tp = NULL;
}

double tally_start(const struct tally *t)
{
	return json_number_value(json_object_get(t->root, "start"));
}

static json_t *text_list(const struct slice *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(array, json_stringn(list[i].ptr ? list[i].ptr : "", list[i].len));
	return array;
}

static json_t *child(json_t *parent, const char *name)
{
	json_t *found = json_object_get(parent, name);

	if (found)
		return found;
	(void)json_object_set_new(parent, name, json_object());
	return json_object_get(parent, name);
}

static void count_one(json_t *object, const char *name)
{
	(void)json_object_set_new(object, name, json_integer(json_integer_value(json_object_get(object, name)) + 1));
}

void tally_add(struct tally *t, const struct tlsrpt_event *e)
{
	struct str name = { 0 }, kind = { 0 };
	json_t *domain, *policy, *failures;

	str_append_lower(&name, e->domain);
	if (json_object_size(t->domains) < DOMAINS_MAX || json_object_get(t->domains, str_cstr(&name))) {
		domain = child(t->domains, str_cstr(&name));
		policy = child(domain, tlsrpt_policy_text(e->policy));
		/* As it was last. */
		(void)json_object_set_new(policy, "strings", text_list(e->strings, e->string_count));
		(void)json_object_set_new(policy, "mx", text_list(e->mx, e->mx_count));
		count_one(policy, e->result == TLSRPT_SUCCESS ? "good" : "bad");
		failures = child(policy, "failures");
		str_printf(&kind, "%s %.*s %.*s %.*s", tlsrpt_result_text(e->result), SLICE_FMT(e->host), SLICE_FMT(e->address),
			   SLICE_FMT(e->reason));
		if (e->result != TLSRPT_SUCCESS &&
		    (json_object_size(failures) < FAILURES_MAX || json_object_get(failures, str_cstr(&kind))))
			count_one(failures, str_cstr(&kind));
	}
	str_free(&name);
	str_free(&kind);
}

void tally_save(const struct tally *t, struct str *out)
{
	char *text = json_dumps(t->root, JSON_COMPACT);

	if (text)
		str_append_text(out, text);
	free(text);
}

bool tally_first(struct tally *t, const char **name)
{
	void *at = json_object_iter(t->domains);

	*name = at ? json_object_iter_key(at) : NULL;
	return at != NULL;
}

void tally_remove(struct tally *t, const char *name)
{
	(void)json_object_del(t->domains, name);
}

/* --- the report --- */

static json_t *date(double when)
{
	time_t seconds = (time_t)when;
	char text[40] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static json_t *failure_details(json_t *failures)
{
	json_t *list = json_array(), *count;
	const char *key;

	json_object_foreach(failures, key, count)
	{
		struct slice rest = slice_of(key), word[3] = { SLICE_NONE };
		json_t *one = json_object();

		for (int i = 0; i < 3; i++)
			(void)slice_cut(&rest, ' ', &word[i]);
		(void)json_object_set_new(one, "result-type", json_stringn(word[0].ptr, word[0].len));
		(void)json_object_set_new(one, "receiving-mx-hostname", json_stringn(word[1].ptr ? word[1].ptr : "", word[1].len));
		(void)json_object_set_new(one, "receiving-ip", json_stringn(word[2].ptr ? word[2].ptr : "", word[2].len));
		(void)json_object_set_new(one, "failed-session-count", json_integer(json_integer_value(count)));
		if (rest.len > 0)
			(void)json_object_set_new(one, "failure-reason-code", json_stringn(rest.ptr, rest.len));
		(void)json_array_append_new(list, one);
	}
	return list;
}

static json_t *policy_part(const char *domain, const char *type, json_t *policy)
{
	json_t *part = json_pack("{s:{s:s,s:s},s:{s:I,s:I}}", "policy", "policy-type", type, "policy-domain", domain, "summary",
				 "total-successful-session-count", json_integer_value(json_object_get(policy, "good")),
				 "total-failure-session-count", json_integer_value(json_object_get(policy, "bad")));
	json_t *about = json_object_get(part, "policy");
	json_t *strings = json_object_get(policy, "strings"), *mx = json_object_get(policy, "mx");

	if (json_array_size(strings) > 0)
		(void)json_object_set(about, "policy-string", strings);
	if (json_array_size(mx) > 0)
		(void)json_object_set(about, "mx-host", mx);
	if (json_object_size(json_object_get(policy, "failures")) > 0)
		(void)json_object_set_new(part, "failure-details", failure_details(json_object_get(policy, "failures")));
	return part;
}

void tally_report(const struct tally *t, const char *name, const struct tally_reporter *r, struct str *out)
{
	json_t *domain = json_object_get(t->domains, name), *policies = json_array(), *policy, *report;
	const char *type;
	char *text;

	json_object_foreach(domain, type, policy)
		(void)json_array_append_new(policies, policy_part(name, type, policy));
	report = json_pack("{s:s,s:{s:o,s:o},s:s,s:s,s:o}", "organization-name", r->organization, "date-range", "start-datetime",
			   date(tally_start(t)), "end-datetime", date(r->end), "contact-info", r->contact, "report-id", r->id,
			   "policies", policies);
	text = report ? json_dumps(report, JSON_COMPACT) : NULL;
	if (text)
		str_append_text(out, text);
	free(text);
	json_decref(report);
}
