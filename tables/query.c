/* SPDX-License-Identifier: ISC */
#include "tables/query.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/config/main_cf.h"
#include "common/config/params.h"
#include "common/mail/address.h"
#include "tables/watch.h"

#define LABELS 9 /* %1 to %9 */

struct table_settings {
	char *name;
	struct arena *arena;
	struct main_cf_line *lines;    /* of a file */
	struct file_watch watch;
	const struct config *config;   /* of a name in main.cf */
};

/* What the templates need of a key, or result_format of a value. */
struct needs {
	bool local, domain;
	unsigned labels;
};

struct table_query {
	struct arena *arena;
	const char *name;              /* of the settings, for messages */
	struct match_list *domains;    /* NULL: all */
	const char **templates;
	size_t count;
	const char *format;
	struct needs key;
	long limit;
};

/* An address in its parts; text without '@' has no domain. */
struct parts {
	struct slice whole, local, domain, labels[LABELS]; /* labels: most significant first */
	unsigned label_count;
	bool qualified;
};

/* --- settings --- */

struct table_settings *table_settings_open(const char *name, struct err *err)
{
	struct table_settings *s = mem_alloc(sizeof(*s));
	struct str text = { 0 };
	bool ok = true;

	s->name = mem_strdup(name);
	s->arena = arena_create(0);
	s->watch.fd = -1;
	s->config = tables_config();
	if (name[0] == '/' || name[0] == '.') {
		ok = file_watch_open(&s->watch, name, err) && file_watch_read(&s->watch, &text, err) &&
		     main_cf_parse(str_slice(&text), name, s->arena, &s->lines, err);
		s->config = NULL;
	} else if (!s->config) {
		ok = err_set(err, ERR_TEMPORARY, "%s: main.cf is not at hand; name a file with a path", name);
	}
	str_free(&text);
	if (!ok)
		table_settings_free(&s);
	return s;
}

void table_settings_free(struct table_settings **settings)
{
	struct table_settings *s = *settings;

	if (!s)
		return;
	file_watch_close(&s->watch);
	arena_free(&s->arena);
	free(s->name);
	free(s);
	*settings = NULL;
}

const char *table_settings_name(const struct table_settings *s)
{
	return s->name;
}

const char *table_settings_text(const struct table_settings *s, const char *setting, const char *missing)
{
	const char *found = NULL;

	if (s->config) {
		struct str name = { 0 };

		str_printf(&name, "%s_%s", s->name, setting);
		found = config_lookup(s->config, str_cstr(&name));
		str_free(&name);
	}
	/* As in main.cf the last line of a name counts. */
	for (const struct main_cf_line *l = s->lines; l; l = l->next)
		if (slice_eq(l->name, slice_of(setting)))
			found = l->value.ptr;
	return found ? found : missing;
}

bool table_settings_int(const struct table_settings *s, const char *setting, long missing, long min, long max,
			long *value, struct err *err)
{
	const char *text = table_settings_text(s, setting, NULL);
	int64_t n = missing;

	if (text && !slice_to_i64(slice_of(text), &n))
		return err_set(err, ERR_SYNTAX, "%s: %s = %.60s: not a number", s->name, setting, text);
	if (text && (n < min || n > max))
		return err_set(err, ERR_SYNTAX, "%s: %s = %.60s: expected %ld to %ld", s->name, setting, text, min, max);
	*value = (long)n;
	return true;
}

bool table_settings_bool(const struct table_settings *s, const char *setting, bool missing, bool *value,
			 struct err *err)
{
	const char *text = table_settings_text(s, setting, NULL);

	*value = missing;
	if (text && !param_parse_bool(slice_of(text), value))
		return err_set(err, ERR_SYNTAX, "%s: %s = %.60s: expected yes or no", s->name, setting, text);
	return true;
}

bool table_settings_changed(const struct table_settings *s)
{
	return file_watch_changed(&s->watch);
}

const char *table_settings_sql(struct table_settings *s, struct err *err)
{
	const char *query = table_settings_text(s, "query", NULL);
	const char *field = table_settings_text(s, "select_field", NULL);
	const char *table = table_settings_text(s, "table", NULL);
	const char *where = table_settings_text(s, "where_field", NULL);

	if (query && *query)
		return query;
	if (!field || !table || !where) {
		err_set(err, ERR_SYNTAX, "%s: no query (nor select_field, table and where_field)", s->name);
		return NULL;
	}
	return arena_printf(s->arena, "SELECT %s FROM %s WHERE %s = '%%s' %s", field, table, where,
			    table_settings_text(s, "additional_conditions", ""));
}

/* --- templates --- */

/* Checks the letters, and adds to *key what the template needs of a key; `result`: %s %u %d are the value's. */
static bool check_template(const char *text, bool result, const char *name, struct needs *key, struct err *err)
{
	for (const char *at = strchr(text, '%'); at; at = strchr(at + 2, '%')) {
		char c = at[1];

		if (c == '\0' || !strchr("%sudSUD123456789", c))
			return err_set(err, ERR_SYNTAX, "%s: invalid %s template: %.100s", name,
				       result ? "result" : "query", text);
		key->local |= c == 'U' || (c == 'u' && !result);
		key->domain |= c == 'D' || (c == 'd' && !result);
		if (c >= '1' && c <= '9' && (unsigned)(c - '0') > key->labels)
			key->labels = (unsigned)(c - '0');
	}
	return true;
}

static struct parts split(struct slice text)
{
	struct parts p = { .whole = text, .local = text };
	ptrdiff_t at = slice_rfind(text, '@');

	if (at < 0)
		return p;
	p.qualified = true;
	p.local = slice_sub(text, 0, (size_t)at);
	p.domain = slice_sub(text, (size_t)at + 1, text.len);
	for (struct slice rest = p.domain; rest.len > 0 && p.label_count < LABELS;) {
		ptrdiff_t dot = slice_rfind(rest, '.');

		p.labels[p.label_count++] = slice_sub(rest, (size_t)(dot + 1), rest.len);
		rest = slice_sub(rest, 0, dot < 0 ? 0 : (size_t)dot);
	}
	return p;
}

static bool has(const struct parts *p, const struct needs *n)
{
	return !(n->local && p->qualified && p->local.len == 0) && !(n->domain && p->domain.len == 0) &&
	       p->label_count >= n->labels;
}

static bool put_as_is(void *context, struct slice text, struct str *out, struct err *err)
{
	str_append(out, text);
	return true;
}

/* %s %u %d from `lower`, the rest from `key`. */
static bool expand(const char *text, const struct parts *lower, const struct parts *key, query_quote_fn *quote,
		   void *context, struct str *out, struct err *err)
{
	for (const char *at; (at = strchr(text, '%')) != NULL; text = at + 2) {
		struct slice what = SLICE_NONE;

		str_append(out, slice_make(text, (size_t)(at - text)));
		switch (at[1]) {
		case '%':
			str_append_byte(out, '%');
			continue;
		case 's':
			what = lower->whole;
			break;
		case 'u':
			what = lower->local;
			break;
		case 'd':
			what = lower->domain;
			break;
		case 'S':
			what = key->whole;
			break;
		case 'U':
			what = key->local;
			break;
		case 'D':
			what = key->domain;
			break;
		default:
			what = key->labels[at[1] - '1'];
		}
		if (!quote(context, what, out, err))
			return false;
	}
	str_append_text(out, text);
	return true;
}

struct table_query *table_query_open(const struct table_settings *settings, const char *query, struct err *err)
{
	struct table_query *q = mem_alloc(sizeof(*q));
	const char *domains = table_settings_text(settings, "domain", "");

	q->arena = arena_create(0);
	q->name = arena_strdup(q->arena, table_settings_name(settings));
	/* result_filter: what ldap_table(5) called it once. */
	q->format = arena_strdup(q->arena, table_settings_text(settings, "result_format",
							       table_settings_text(settings, "result_filter", "%s")));
	bool ok = check_template(q->format, true, q->name, &q->key, err) &&
		  table_settings_int(settings, "expansion_limit", 0, 0, 1000000000, &q->limit, err) &&
		  table_query_add_template(q, query, err);

	if (ok && slice_trim(slice_of(domains)).len > 0) {
		q->domains = match_list_open(domains, MATCH_STRING, err);
		ok = q->domains || err_prefix(err, "%s: domain", q->name);
	}
	if (!ok)
		table_query_free(&q);
	return q;
}

void table_query_free(struct table_query **query)
{
	struct table_query *q = *query;

	if (!q)
		return;
	match_list_close(&q->domains);
	free(q->templates);
	arena_free(&q->arena);
	free(q);
	*query = NULL;
}

bool table_query_add_template(struct table_query *q, const char *text, struct err *err)
{
	q->templates = mem_realloc(q->templates, (q->count + 1) * sizeof(*q->templates));
	q->templates[q->count++] = arena_strdup(q->arena, text);
	return check_template(text, false, q->name, &q->key, err);
}

int table_query_wants(struct table_query *q, struct slice key, struct err *err)
{
	struct parts p = split(key);

	if (key.len == 0 || memchr(key.ptr, '\0', key.len) || !address_valid_utf8(key) || !has(&p, &q->key))
		return 0;
	if (!q->domains)
		return 1;
	if (!p.qualified || p.local.len == 0 || p.domain.len == 0)
		return 0;
	return (int)match_list_test(q->domains, p.domain, err);
}

bool table_query_expand(const struct table_query *q, size_t number, struct slice key, query_quote_fn *quote,
			void *context, struct str *out, struct err *err)
{
	struct parts p = split(key);

	BUG_IF(number >= q->count);
	return expand(q->templates[number], &p, &p, quote, context, out, err);
}

/* --- the result --- */

bool table_query_add(const struct table_query *q, struct slice key, struct slice value, struct query_result *result,
		     struct err *err)
{
	return table_query_add_as(q, q->format, key, value, result, err);
}

bool table_query_add_as(const struct table_query *q, const char *format, struct slice key, struct slice value,
			struct query_result *result, struct err *err)
{
	struct parts v = split(value), k = split(key);
	struct needs of_value = { 0 };

	if (!format)
		format = "%s";
	for (const char *at = strchr(format, '%'); at && at[1]; at = strchr(at + 2, '%')) {
		of_value.local |= at[1] == 'u';
		of_value.domain |= at[1] == 'd';
	}
	if (value.len == 0 || !has(&v, &of_value))
		return true;
	if (q->limit > 0 && result->count >= q->limit)
		return err_set(err, ERR_TEMPORARY, "%s: Expansion limit exceeded for key '%.*s'", q->name,
			       SLICE_FMT(slice_sub(key, 0, 100)));
	if (result->count++ > 0)
		str_append_byte(&result->text, ',');
	return expand(format, &v, &k, put_as_is, NULL, &result->text, err);
}
