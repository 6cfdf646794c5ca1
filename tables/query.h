/* SPDX-License-Identifier: ISC */
/*
 * What tables that ask a server or a database with a query have in common
 * (sqlite, pgsql, mysql, ldap): their settings, and the templates `query` and `result_format`
 * with %s %u %d %S %U %D %1 to %9 and %%, as pgsql_table(5) and its siblings describe them.
 */
#ifndef POSTRIDER_TABLES_QUERY_H
#define POSTRIDER_TABLES_QUERY_H

#include "common/base/str.h"
#include "tables/table.h"

/* --- settings --- */

/*
 * A name that begins with '/' or '.' is a file in main.cf's syntax, whose values
 * stand as they are ($name is not expanded); any other name is a prefix: setting `query` of "x" is
 * the parameter x_query of main.cf (see tables_use_config).
 */
struct table_settings;
struct table_settings *table_settings_open(const char *name, struct err *err) MUST_USE;
void table_settings_free(struct table_settings **settings);
const char *table_settings_name(const struct table_settings *settings);
/* Valid as long as the settings; `missing` (may be NULL) when it is not set. */
const char *table_settings_text(const struct table_settings *settings, const char *setting, const char *missing);
/* False with ERR_SYNTAX when the value is malformed or outside min … max. */
bool table_settings_int(const struct table_settings *settings, const char *setting, long missing, long min, long max,
			long *value, struct err *err) MUST_USE;
bool table_settings_bool(const struct table_settings *settings, const char *setting, bool missing, bool *value,
			 struct err *err) MUST_USE;
/* Was the file rewritten or replaced since it was read?  (False for settings in main.cf.) */
bool table_settings_changed(const struct table_settings *settings);
/*
 * `query`, or what the older select_field, table, where_field and additional_conditions
 * come to.  NULL with ERR_SYNTAX when there is neither.
 */
const char *table_settings_sql(struct table_settings *settings, struct err *err) MUST_USE;

/* --- the query --- */

/*
 * Appends `text` to `out` so that it is harmless where templates put it (inside the quotes of an
 * SQL literal, in an LDAP filter).  False: it cannot be said there (ERR_TEMPORARY in *err).
 */
typedef bool query_quote_fn(void *context, struct slice text, struct str *out, struct err *err);

struct table_query;
/*
 * Reads domain, result_format and expansion_limit of the settings, and checks the templates.
 * `query` is the first template that the key is put into (table_settings_sql(), or LDAP's query_filter).
 */
struct table_query *table_query_open(const struct table_settings *settings, const char *query,
				     struct err *err) MUST_USE;
void table_query_free(struct table_query **query);
/* A further template for the same key (LDAP's search_base): what it needs of a key counts too. */
bool table_query_add_template(struct table_query *query, const char *text, struct err *err) MUST_USE;
/*
 * Is this a key to ask for?  0: no (another domain, no local part, fewer labels than %3 wants, not
 * UTF-8): not found, without a question.  1: yes.  -1: the `domain` list cannot be read.
 */
int table_query_wants(struct table_query *query, struct slice key, struct err *err) MUST_USE;
/* Puts a key that is wanted into the template with this number (0: the query; 1…: as they were added). */
bool table_query_expand(const struct table_query *query, size_t number, struct slice key, query_quote_fn *quote,
			void *context, struct str *out, struct err *err) MUST_USE;

/* --- the result --- */

struct query_result {
	struct str text;      /* values, with commas between; free it with str_free */
	long count;
};
/*
 * Puts a value into result_format and appends it.  A value that is empty or lacks what the
 * format asks for is passed over.  False with ERR_TEMPORARY when expansion_limit is exceeded.
 */
bool table_query_add(const struct table_query *query, struct slice key, struct slice value,
		     struct query_result *result, struct err *err) MUST_USE;
/* The same with another format than result_format's (LDAP); NULL: the value as it is. */
bool table_query_add_as(const struct table_query *query, const char *format, struct slice key, struct slice value,
			struct query_result *result, struct err *err) MUST_USE;

#endif
