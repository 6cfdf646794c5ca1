/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "common/config/main_cf.h"
#include "common/config/params.h"

#define BUCKETS  512
#define FILE_MAX (4u << 20)

struct entry {
	struct entry *next;
	struct slice name;
	const char *raw;       /* unexpanded */
	const char *value;     /* expanded; NULL till then */
	const struct param *param;
	int line;              /* in main.cf; 0: default or override */
	bool expanding;
	bool set;              /* by main.cf or -o */
	long number;           /* parsed value of INT and BOOL */
	double seconds;        /* of TIME */
};

struct config {
	char *dir;
	char *path;
	struct arena *arena;
	struct entry *buckets[BUCKETS];
	struct err expand_error;
};

static struct entry *find(const struct config *c, struct slice name)
{
	struct entry *e = c->buckets[slice_hash(name) % BUCKETS];

	while (e && !slice_eq(e->name, name))
		e = e->next;
	return e;
}

static struct entry *put(struct config *c, struct slice name, const char *raw)
{
	struct entry *e = find(c, name);

	if (!e) {
		struct entry **bucket = &c->buckets[slice_hash(name) % BUCKETS];

		e = arena_alloc(c->arena, sizeof(*e));
		e->name = arena_slice(c->arena, name);
		e->param = param_find(name);
		e->next = *bucket;
		*bucket = e;
	}
	e->raw = arena_strdup(c->arena, raw);
	return e;
}

/* --- defaults that the host gives --- */

static void put_host_names(struct config *c)
{
	char host[256] = "localhost";
	struct entry *own = find(c, SLICE("myhostname"));
	struct entry *domain = find(c, SLICE("mydomain"));
	const char *dot;

	(void)gethostname(host, sizeof(host) - 1);
	if (!own->raw[0])
		own->raw = strchr(host, '.') ? arena_strdup(c->arena, host) :
					       arena_printf(c->arena, "%s.$mydomain", host);
	if (domain->raw[0])
		return;
	dot = strchr(own->set ? own->raw : host, '.');
	domain->raw = dot && dot[1] != '$' ? arena_strdup(c->arena, dot + 1) : "localdomain";
}

static void put_defaults(struct config *c)
{
	for (size_t i = 0; i < param_count(); i++)
		put(c, slice_of(param_at(i)->name), param_at(i)->value ? param_at(i)->value : "");
}

/* --- reading --- */

static bool read_file(struct config *c, struct str *out, struct err *err)
{
	FILE *f = fopen(c->path, "re");
	char buf[4096];
	size_t got;

	if (!f)
		return err_set_errno(err, ERR_TEMPORARY, "open %s", c->path);
	while ((got = fread(buf, 1, sizeof(buf), f)) > 0 && out->len < FILE_MAX)
		str_append(out, slice_make(buf, got));
	bool ok = !ferror(f) || err_set_errno(err, ERR_TEMPORARY, "read %s", c->path);

	fclose(f);
	if (ok && out->len >= FILE_MAX)
		ok = err_set(err, ERR_LIMIT, "%s is larger than %u bytes", c->path, FILE_MAX);
	return ok;
}

/* From the start, whatever the descriptor's position, which others may share. */
static bool read_descriptor(struct config *c, int fd, struct str *out, struct err *err)
{
	return file_read_all(fd, FILE_MAX, out) || err_set_errno(err, ERR_TEMPORARY, "read the copy of %s", c->path);
}

static bool read_main_cf(struct config *c, int fd, struct err *err)
{
	struct str text = { 0 };
	struct main_cf_line *lines = NULL;
	bool ok = (fd < 0 ? read_file(c, &text, err) : read_descriptor(c, fd, &text, err)) &&
		  main_cf_parse(str_slice(&text), c->path, c->arena, &lines, err);

	for (; ok && lines; lines = lines->next) {
		struct entry *e = put(c, lines->name, lines->value.ptr);

		e->line = lines->line;
		e->set = true;
	}
	str_free(&text);
	return ok;
}

/* --- expansion and checks --- */

static const char *expanded(struct config *c, struct entry *e);

static const char *lookup_name(void *context, struct slice name)
{
	struct config *c = context;
	struct entry *e = find(c, name);

	return e ? expanded(c, e) : NULL;
}

static const char *expanded(struct config *c, struct entry *e)
{
	struct str out = { 0 };

	if (e->value)
		return e->value;
	if (e->param && e->param->raw)
		return e->value = e->raw;
	if (e->expanding) {
		err_set(&c->expand_error, ERR_SYNTAX, "parameter %s refers to itself", e->name.ptr);
		return "";
	}
	e->expanding = true;
	if (!main_cf_expand(slice_of(e->raw), lookup_name, c, &out, &c->expand_error))
		err_prefix(&c->expand_error, "parameter %s", e->name.ptr);
	e->expanding = false;
	e->value = arena_strdup(c->arena, str_cstr(&out));
	str_free(&out);
	return e->value;
}

static bool where(const struct config *c, const struct entry *e, struct err *err)
{
	return e->line ? err_prefix(err, "%s, line %d", c->path, e->line) : false;
}

static bool check_number(struct entry *e, const struct param *p, struct err *err)
{
	int64_t n;

	if (!slice_to_i64(slice_of(e->value), &n))
		return err_set(err, ERR_SYNTAX, "parameter %s: \"%s\" is not a number", p->name, e->value);
	if (n < p->min || (p->max > 0 && n > p->max))
		return err_set(err, ERR_LIMIT, "parameter %s: %s is out of bounds (from %ld%s%.0ld)", p->name,
			       e->value, p->min, p->max ? " to " : "", p->max);
	e->number = n;
	return true;
}

static bool check_value(struct entry *e, struct err *err)
{
	const struct param *p = e->param;
	bool flag;

	switch (p->type) {
	case PARAM_INT:
		return check_number(e, p, err);
	case PARAM_BOOL:
		if (!param_parse_bool(slice_of(e->value), &flag))
			return err_set(err, ERR_SYNTAX, "parameter %s: \"%s\" is neither yes nor no", p->name,
				       e->value);
		e->number = flag;
		return true;
	case PARAM_TIME:
		return param_parse_time(slice_of(e->value), p->unit, &e->seconds) ||
		       err_set(err, ERR_SYNTAX, "parameter %s: \"%s\" is not a time (number and s, m, h, d or w)",
			       p->name, e->value);
	case PARAM_TEXT:
		break;
	}
	return true;
}

/* "myorigin = /etc/mailname": the first line of that file. */
static bool read_origin_file(struct config *c, struct err *err)
{
	struct entry *e = find(c, SLICE("myorigin"));
	char line[512];
	FILE *f;

	if (e->value[0] != '/')
		return true;
	f = fopen(e->value, "re");
	if (!f || !fgets(line, sizeof(line), f)) {
		err_set_errno(err, ERR_TEMPORARY, "parameter myorigin: read %s", e->value);
		if (f)
			fclose(f);
		return false;
	}
	fclose(f);
	e->value = arena_cstr(c->arena, slice_trim(slice_of(line)));
	return true;
}

static bool evaluate(struct config *c, struct err *err)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct entry *e = c->buckets[i]; e; e = e->next) {
			c->expand_error.code = ERR_NONE;
			expanded(c, e);
			if (c->expand_error.code != ERR_NONE) {
				*err = c->expand_error;
				return where(c, e, err);
			}
			if (e->param && !check_value(e, err))
				return where(c, e, err);
		}
	}
	return read_origin_file(c, err);
}

struct config *config_load(const char *dir, const struct config_override *overrides, size_t count,
			   struct err *err)
{
	return config_load_copy(dir, -1, overrides, count, err);
}

struct config *config_load_copy(const char *dir, int fd, const struct config_override *overrides, size_t count,
				struct err *err)
{
	struct config *c = mem_alloc(sizeof(*c));
	struct str path = { 0 };

	if (!dir)
		dir = getenv("MAIL_CONFIG") ? getenv("MAIL_CONFIG") : POSTRIDER_CONFIG_DIR;
	c->arena = arena_create(32768);
	c->dir = mem_strdup(dir);
	str_printf(&path, "%s/main.cf", dir);
	c->path = str_detach(&path);
	put_defaults(c);
	put(c, SLICE("config_directory"), dir);
	bool ok = read_main_cf(c, fd, err);

	for (size_t i = 0; ok && i < count; i++)
		put(c, slice_of(overrides[i].name), overrides[i].value)->set = true;
	if (ok)
		put_host_names(c);
	if (!ok || !evaluate(c, err))
		config_free(&c);
	return c;
}

void config_free(struct config **config)
{
	if (!*config)
		return;
	arena_free(&(*config)->arena);
	free((*config)->dir);
	free((*config)->path);
	free(*config);
	*config = NULL;
}

const char *config_dir(const struct config *config)
{
	return config->dir;
}

/* --- access --- */

static const struct entry *row(const struct config *config, const char *name, enum param_type type)
{
	const struct entry *e = find(config, slice_of(name));

	if (!e || !e->param || e->param->type != type)
		log_panic("parameter %s is not in the table, or is of another type", name);
	return e;
}

const char *config_text(const struct config *config, const char *name)
{
	return row(config, name, PARAM_TEXT)->value;
}

long config_int(const struct config *config, const char *name)
{
	return row(config, name, PARAM_INT)->number;
}

bool config_bool(const struct config *config, const char *name)
{
	return row(config, name, PARAM_BOOL)->number != 0;
}

double config_time(const struct config *config, const char *name)
{
	return row(config, name, PARAM_TIME)->seconds;
}

void config_each(const struct config *config, void (*fn)(const char *name, const char *value, void *context),
		 void *context)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct entry *e = config->buckets[i]; e; e = e->next)
			fn(e->name.ptr, e->value, context);
}

const char *config_lookup(const struct config *config, const char *name)
{
	const struct entry *e = find(config, slice_of(name));

	return e ? e->value : NULL;
}

static const struct entry *joined_entry(const struct config *config, const char *head, const char *suffix)
{
	struct str name = { 0 };
	const struct entry *e;

	str_append_text(&name, head);
	str_append_text(&name, suffix);
	e = find(config, str_slice(&name));
	str_free(&name);
	return e;
}

static const struct entry *transport_entry(const struct config *config, const char *transport,
					   const char *suffix)
{
	const struct entry *e = joined_entry(config, transport, suffix);

	if (!e)
		e = joined_entry(config, "default", suffix);
	if (!e) /* initial_destination_concurrency has no default_ before it */
		e = joined_entry(config, "initial", suffix);
	return e;
}

long config_transport_int(const struct config *config, const char *transport, const char *suffix)
{
	const struct entry *e = transport_entry(config, transport, suffix);
	int64_t n = 0;

	if (e && !slice_to_i64(slice_of(e->value), &n))
		log_warning("parameter %s: \"%s\" is not a number", e->name.ptr, e->value);
	return n;
}

double config_transport_time(const struct config *config, const char *transport, const char *suffix)
{
	const struct entry *e = transport_entry(config, transport, suffix);
	double seconds = 0;

	if (e && !param_parse_time(slice_of(e->value), 's', &seconds))
		log_warning("parameter %s: \"%s\" is not a time", e->name.ptr, e->value);
	return seconds;
}
