/* SPDX-License-Identifier: ISC */
/* postconf: shows and edits main.cf; shows master.cf. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "common/config/main_cf.h"
#include "common/config/master_cf.h"
#include "common/config/params.h"
#include "tables/servers/servers.h"
#include "tables/table_types.h"

#define TABLE_TYPES_MAX 64

#define OVERRIDES_MAX 100

static struct {
	const char *dir;
	bool defaults, set_only, expand, no_name, edit, comment_out, remove, master, services, tables;
	struct config_override overrides[OVERRIDES_MAX];
	size_t override_count;
	int status;
} me;

/* --- reading --- */

static const char *directory(void)
{
	if (me.dir)
		return me.dir;
	return getenv("MAIL_CONFIG") ? getenv("MAIL_CONFIG") : POSTRIDER_CONFIG_DIR;
}

static char *file_path(const char *name)
{
	struct str path = { 0 };

	str_printf(&path, "%s/%s", directory(), name);
	return str_detach(&path);
}

static void read_file(const char *path, struct str *out)
{
	FILE *f = fopen(path, "re");
	char buf[4096];
	size_t got;

	if (!f)
		log_fatal("open %s: %m", path);
	while ((got = fread(buf, 1, sizeof(buf), f)) > 0)
		str_append(out, slice_make(buf, got));
	fclose(f);
}

static struct main_cf_line *parse_main_cf(struct arena *arena)
{
	char *path = file_path("main.cf");
	struct str text = { 0 };
	struct main_cf_line *lines;
	struct err err;

	read_file(path, &text);
	if (!main_cf_parse(str_slice(&text), path, arena, &lines, &err))
		log_fatal("%s", err.text);
	str_free(&text);
	free(path);
	return lines;
}

/* The last one counts, as everywhere. */
static const struct main_cf_line *find_line(const struct main_cf_line *lines, struct slice name)
{
	const struct main_cf_line *found = NULL;

	for (; lines; lines = lines->next)
		if (slice_eq(lines->name, name))
			found = lines;
	return found;
}

/* --- showing --- */

static void show(const char *name, const char *value)
{
	if (me.no_name)
		printf("%s\n", value);
	else
		printf("%s = %s\n", name, value);
}

static void show_one(const char *name, const struct main_cf_line *lines, const struct config *config)
{
	const struct param *p = param_find(slice_of(name));
	const struct main_cf_line *line = me.defaults ? NULL : find_line(lines, slice_of(name));
	const char *expanded = config_lookup(config, name);

	if (!p && !line && !expanded) {
		log_warning("%s: unknown parameter", name);
		me.status = 1;
		return;
	}
	if (me.expand || (p && !line && !p->value))
		show(name, expanded ? expanded : "");
	else
		show(name, line ? line->value.ptr : p && p->value ? p->value : "");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In order of name. */
static void show_set(const struct main_cf_line *lines, const struct config *config)
{
	const char **names;
	size_t count = 0;

	for (const struct main_cf_line *l = lines; l; l = l->next)
		count++;
	names = mem_alloc((count + 1) * sizeof(*names));
	count = 0;
	for (const struct main_cf_line *l = lines; l; l = l->next)
		if (find_line(lines, l->name) == l)
			names[count++] = l->name.ptr;
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		show_one(names[i], lines, config);
	free(names);
}

static void warn_unknown(const struct main_cf_line *lines)
{
	char *path = file_path("main.cf");

	for (; lines; lines = lines->next)
		if (!param_find(lines->name))
			log_warning("%s, line %d: unused parameter: %s=%s", path, lines->line, lines->name.ptr,
				    lines->value.ptr);
	free(path);
}

static void show_parameters(int count, char **names)
{
	struct arena *arena = arena_create(16384);
	struct main_cf_line *lines = parse_main_cf(arena);
	struct err err;
	struct config *config = config_load(me.dir, me.overrides, me.override_count, &err);

	if (!config)
		log_fatal("%s", err.text);
	if (count > 0) {
		for (int i = 0; i < count; i++)
			if (!me.set_only || find_line(lines, slice_of(names[i])))
				show_one(names[i], lines, config);
	} else if (me.set_only) {
		show_set(lines, config);
	} else {
		for (size_t i = 0; i < param_count(); i++)
			show_one(param_at(i)->name, lines, config);
	}
	if (me.set_only && count == 0)
		warn_unknown(lines);
	config_free(&config);
	arena_free(&arena);
}

/* --- master.cf --- */

static const char *tristate(enum master_tristate value)
{
	return value == MASTER_DEFAULT ? "-" : value == MASTER_YES ? "y" : "n";
}

static const char *number(int value, bool question, char *out, size_t size)
{
	if (value < 0)
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%d%s", value, question ? "?" : "");
	return out;
}

static bool service_wanted(const struct master_entry *e, const char *type, int count, char **names)
{
	for (int i = 0; i < count; i++) {
		struct slice wanted_type = slice_of(names[i]), wanted_name;

		slice_cut(&wanted_type, '/', &wanted_name);
		if (slice_eq(wanted_name, slice_of(e->name)) &&
		    (wanted_type.len == 0 || slice_eq(wanted_type, slice_of(type))))
			return true;
	}
	return count == 0;
}

static void show_entry(const struct master_entry *e, const char *type)
{
	char wakeup[24], limit[24];

	if (me.services) {
		for (size_t i = 0; i < e->override_count; i++)
			printf("%s/%s/%s = %s\n", e->name, type, e->overrides[i].name, e->overrides[i].value);
		return;
	}
	printf("%-10s %-9s %-7s %-7s %-7s %-7s %-7s %s", e->name, type, tristate(e->private_), tristate(e->unpriv),
	       tristate(e->chroot), number(e->wakeup, e->wakeup_if_used, wakeup, sizeof(wakeup)),
	       number(e->maxproc, false, limit, sizeof(limit)), e->command);
	for (size_t i = 0; e->argv[i]; i++)
		printf(strchr(e->argv[i], ' ') ? " { %s }" : " %s", e->argv[i]);
	putchar('\n');
	for (size_t i = 0; i < e->override_count; i++)
		printf(strpbrk(e->overrides[i].value, " \t") ? "    -o { %s = %s }\n" : "    -o %s=%s\n",
		       e->overrides[i].name, e->overrides[i].value);
}

static void show_master(int count, char **names)
{
	static const char *const types[] = { [MASTER_INET] = "inet", [MASTER_UNIX] = "unix", [MASTER_FIFO] = "fifo",
					     [MASTER_PASS] = "pass", [MASTER_UNIX_DGRAM] = "unix-dgram" };
	char *path = file_path("master.cf");
	struct err err;
	struct master_cf *cf = master_cf_load(path, &err);

	if (!cf)
		log_fatal("%s", err.text);
	for (size_t i = 0; i < master_cf_count(cf); i++) {
		const struct master_entry *e = master_cf_entry(cf, i);

		if (service_wanted(e, types[e->type], count, names))
			show_entry(e, types[e->type]);
	}
	master_cf_free(&cf);
	free(path);
}

/* --- editing --- */

struct edit {
	struct slice name, value;
	bool done;
};

static struct edit *find_edit(struct edit *edits, size_t count, struct slice line)
{
	struct slice rest = line, name;

	if (!slice_cut(&rest, '=', &name))
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (slice_eq(slice_trim(name), edits[i].name))
			return &edits[i];
	return NULL;
}

static void put_edit(struct str *out, struct edit *e)
{
	if (!e->done && me.edit)
		str_printf(out, "%.*s = %.*s\n", SLICE_FMT(e->name), SLICE_FMT(e->value));
	e->done = true;
}

/* Comments, order and all other lines stay as they are. */
static void apply_edits(struct slice text, struct edit *edits, size_t count, struct str *out)
{
	bool dropping = false;

	while (text.len > 0) {
		struct slice line;
		bool whole = slice_cut(&text, '\n', &line);
		bool blank = slice_trim(line).len == 0 || slice_trim(line).ptr[0] == '#';
		bool continued = !blank && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
		struct edit *e = blank || continued ? NULL : find_edit(edits, count, line);

		if (!blank && !continued)
			dropping = e != NULL;
		if (e)
			put_edit(out, e);
		if (!blank && dropping) {
			if (me.comment_out)
				str_printf(out, "#%.*s\n", SLICE_FMT(line));
			continue;
		}
		str_append(out, line);
		if (whole)
			str_append_byte(out, '\n');
	}
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		str_append_byte(out, '\n');
	for (size_t i = 0; i < count; i++)
		put_edit(out, &edits[i]);
}

/* A new file beside, synced and renamed: nobody ever reads half of it. */
static void replace_file(const char *path, struct slice text)
{
	struct str temporary = { 0 };
	struct stat st;
	FILE *f;

	str_printf(&temporary, "%s.tmp", path);
	f = fopen(str_cstr(&temporary), "we");
	if (!f || stat(path, &st) != 0)
		log_fatal("open %s: %m", str_cstr(&temporary));
	if (fwrite(text.ptr, 1, text.len, f) != text.len || fflush(f) != 0 || fchmod(fileno(f), st.st_mode & 0777) != 0 ||
	    (geteuid() == 0 && fchown(fileno(f), st.st_uid, st.st_gid) != 0) || fsync(fileno(f)) != 0)
		log_fatal("write %s: %m", str_cstr(&temporary));
	fclose(f);
	if (rename(str_cstr(&temporary), path) != 0)
		log_fatal("rename %s: %m", str_cstr(&temporary));
	str_free(&temporary);
}

static void edit_main_cf(int count, char **arguments)
{
	struct edit *edits = mem_alloc((size_t)(count + 1) * sizeof(*edits));
	char *path = file_path("main.cf");
	struct str text = { 0 }, out = { 0 };

	for (int i = 0; i < count; i++) {
		struct slice value = slice_of(arguments[i]), name;
		bool assigned = slice_cut(&value, '=', &name);

		if (assigned != me.edit)
			log_fatal("%s: expected %s", arguments[i], me.edit ? "name=value" : "a name");
		edits[i].name = slice_trim(name);
		edits[i].value = slice_trim(value);
		if (slice_find(edits[i].value, '\n') >= 0)
			log_fatal("%s: a value is one line", arguments[i]);
	}
	read_file(path, &text);
	apply_edits(str_slice(&text), edits, (size_t)count, &out);
	replace_file(path, str_slice(&out));
	str_free(&text);
	str_free(&out);
	free(path);
	free(edits);
}

static void add_override(const char *text)
{
	struct slice value = slice_of(text), name;

	if (!slice_cut(&value, '=', &name) || me.override_count == OVERRIDES_MAX)
		log_fatal("-o %s: expected name=value", text);
	me.overrides[me.override_count].name = mem_slicedup(name);
	me.overrides[me.override_count++].value = mem_slicedup(value);
}

/* The types that this build has. */
static void show_tables(void)
{
	const char *names[TABLE_TYPES_MAX] = { "proxy" };
	size_t count = 1;

	server_types_add();
	for (size_t i = 0; table_type_at(i) && count < TABLE_TYPES_MAX; i++)
		names[count++] = table_type_at(i)->name;
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		puts(names[i]);
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:deMPnxho:v#Xm")) > 0) {
		me.dir = option == 'c' ? optarg : me.dir;
		me.defaults |= option == 'd';
		me.edit |= option == 'e';
		me.master |= option == 'M' || option == 'P';
		me.services |= option == 'P';
		me.set_only |= option == 'n';
		me.expand |= option == 'x';
		me.no_name |= option == 'h';
		me.comment_out |= option == '#';
		me.remove |= option == 'X';
		me.tables |= option == 'm';
		if (option == 'o')
			add_override(optarg);
		if (option == '?') {
			fprintf(stderr, "usage: postconf [-c dir] [-dnhx] [-o name=value] [name …]\n"
					"       postconf [-c dir] -e name=value … | -# name … | -X name … | -M | -P | -m\n");
			return 64;
		}
	}
	/* "postconf name=value" edits too. */
	if (optind < argc && strchr(argv[optind], '=') && !me.master)
		me.edit = true;
	if (me.tables)
		show_tables();
	else if (me.master)
		show_master(argc - optind, argv + optind);
	else if (me.edit || me.comment_out || me.remove)
		edit_main_cf(argc - optind, argv + optind);
	else
		show_parameters(argc - optind, argv + optind);
	return me.status;
}
