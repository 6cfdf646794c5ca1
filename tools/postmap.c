/* SPDX-License-Identifier: ISC */
/* postmap and postalias: build and ask lookup tables. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "tables/bdb.h"
#include "tables/servers/servers.h"
#include "tables/table.h"

static struct {
	const char *program;
	bool aliases;            /* called postalias: aliases(5) syntax */
	bool incremental, replace, warn_duplicates, keep_case;
	const char *query, *delete;
	bool list;
} me = { .warn_duplicates = true };

struct source {
	const char *path;
	FILE *file;
	int line;
	unsigned problems;
};

static void complain(struct source *s, const char *text, struct slice what)
{
	log_warning("%s, line %d: %s: \"%.*s\"", s->path, s->line, text, SLICE_FMT(slice_sub(what, 0, 100)));
	s->problems++;
}

/* --- one entry --- */

static void store(struct bdb_writer *w, struct source *s, struct slice key, struct slice value)
{
	struct str folded = { 0 };
	struct err err;

	if (me.keep_case)
		str_append(&folded, key);
	else
		str_append_lower(&folded, key);
	switch (bdb_put(w, str_slice(&folded), value, me.replace, &err)) {
	case 0:
		if (me.warn_duplicates)
			log_warning("%s, line %d: duplicate entry: \"%s\"", s->path, s->line, str_cstr(&folded));
		break;
	case -1:
		log_fatal("%s: %s", s->path, err.text);
	}
	str_free(&folded);
}

static void map_entry(struct bdb_writer *w, struct source *s, struct slice text)
{
	struct slice rest = text, key;

	if (!slice_word(&rest, " \t\r\n", &key))
		return;
	rest = slice_trim(rest);
	if (rest.len == 0) {
		complain(s, "expected format: key whitespace value", text);
		return;
	}
	if (key.ptr[key.len - 1] == ':')
		complain(s, "record is in \"key: value\" format; is this an alias file?", key);
	store(w, s, key, rest);
}

/* "name: value, value"; the name may be quoted. */
static void alias_entry(struct bdb_writer *w, struct source *s, struct slice text)
{
	struct str key = { 0 };
	size_t i = 0;
	bool quoted = false;

	for (; i < text.len && (quoted || text.ptr[i] != ':'); i++) {
		if (text.ptr[i] == '"')
			quoted = !quoted;
		else if (text.ptr[i] == '\\' && i + 1 < text.len)
			str_append_byte(&key, text.ptr[++i]);
		else
			str_append_byte(&key, text.ptr[i]);
	}
	struct slice name = slice_trim(str_slice(&key)), value = slice_trim(slice_sub(text, i + 1, text.len));

	if (i >= text.len || name.len == 0)
		complain(s, "need name:value pair", text);
	else
		store(w, s, name, value);
	str_free(&key);
}

/* Logical lines: what starts with white space goes on. */
static void read_source(struct bdb_writer *w, struct source *s)
{
	struct str logical = { 0 };
	char *line = NULL;
	size_t size = 0;
	int number = 0;

	for (bool more = true; more;) {
		more = getline(&line, &size, s->file) >= 0;
		number++;
		struct slice text = more ? slice_of(line) : SLICE_NONE;

		if (more && (slice_trim(text).len == 0 || slice_trim(text).ptr[0] == '#'))
			continue;
		if (!more || (text.ptr[0] != ' ' && text.ptr[0] != '\t')) {
			if (slice_trim(str_slice(&logical)).len > 0)
				(me.aliases ? alias_entry : map_entry)(w, s, slice_trim(str_slice(&logical)));
			str_clear(&logical);
			s->line = number;
		}
		str_append(&logical, text);
	}
	str_free(&logical);
	free(line);
}

/* --- a table --- */

/* Whatever the source may be read by, the table may. */
static void copy_rights(FILE *from, const char *to)
{
	struct stat st;

	if (fstat(fileno(from), &st) != 0)
		return;
	if (S_ISREG(st.st_mode) && chmod(to, st.st_mode & 0777) != 0)
		log_warning("%s: chmod: %m", to);
	if (geteuid() == 0 && S_ISREG(st.st_mode) && chown(to, st.st_uid, st.st_gid) != 0)
		log_warning("%s: chown: %m", to);
}

static void sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		log_fatal("sync %s: %m", path);
	close(fd);
}

/* A new file beside, then renamed: whoever looks sees the old table or the new one. */
static void rebuild(const char *type, const char *path, FILE *file)
{
	struct source s = { path, file, 0, 0 };
	struct str temporary = { 0 }, final = { 0 };
	struct bdb_writer *w;
	struct err err;

	str_printf(&final, "%s.db", path);
	str_printf(&temporary, "%s.db.%d.new", path, (int)getpid());
	if (me.incremental) {
		w = bdb_open_for_change(str_cstr(&final), &err);
	} else {
		(void)unlink(str_cstr(&temporary));
		w = bdb_create(str_cstr(&temporary), strcmp(type, "btree") == 0, &err);
	}
	if (!w)
		log_fatal("%s", err.text);
	read_source(w, &s);
	if (me.aliases && !me.incremental) {
		/* Sendmail and Postfix leave these marks, and look for them. */
		if (bdb_put(w, SLICE("@"), SLICE("@"), false, &err) < 0)
			log_fatal("%s", err.text);
	}
	if (!bdb_close(&w, &err))
		log_fatal("%s", err.text);
	if (!me.incremental) {
		copy_rights(file, str_cstr(&temporary));
		sync_path(str_cstr(&temporary));
		if (rename(str_cstr(&temporary), str_cstr(&final)) != 0)
			log_fatal("rename %s: %m", str_cstr(&temporary));
	}
	str_free(&temporary);
	str_free(&final);
}

static int query(const char *spec, struct slice key)
{
	struct arena *arena = arena_create(0);
	struct slice value;
	struct err err;
	struct table *table = table_open(spec, &err);
	enum table_result result;

	if (!table)
		log_fatal("%s", err.text);
	result = table_lookup(table, key, arena, &value, &err);
	if (result == TABLE_ERROR)
		log_fatal("%s", err.text);
	if (result == TABLE_FOUND)
		printf("%.*s\n", SLICE_FMT(value));
	table_close(&table);
	arena_free(&arena);
	return result == TABLE_FOUND;
}

/* -q -: keys on standard input; prints key and value of those that are there. */
static int query_all(const char *spec)
{
	struct arena *arena = arena_create(0);
	struct err err;
	struct table *table = table_open(spec, &err);
	char *line = NULL;
	size_t size = 0;
	int found = 0;

	if (!table)
		log_fatal("%s", err.text);
	while (getline(&line, &size, stdin) >= 0) {
		struct slice key = slice_trim(slice_of(line)), value;
		enum table_result result = table_lookup(table, key, arena, &value, &err);

		if (result == TABLE_ERROR)
			log_fatal("%s", err.text);
		if (result == TABLE_FOUND) {
			printf("%.*s\t%.*s\n", SLICE_FMT(key), SLICE_FMT(value));
			found = 1;
		}
		arena_reset(arena);
	}
	free(line);
	table_close(&table);
	arena_free(&arena);
	return found;
}

static void print_entry(struct slice key, struct slice value, void *context)
{
	printf(me.aliases ? "%.*s: %.*s\n" : "%.*s\t%.*s\n", SLICE_FMT(key), SLICE_FMT(value));
}

static int handle(const char *argument, const char *default_type)
{
	const char *colon = strchr(argument, ':');
	char *type = colon ? mem_slicedup(slice_make(argument, (size_t)(colon - argument))) :
			     mem_strdup(default_type);
	const char *path = colon ? colon + 1 : argument;
	struct str spec = { 0 }, file = { 0 };
	struct err err;
	int found = 1;

	str_printf(&spec, "%s:%s", type, path);
	str_printf(&file, "%s.db", path);
	if (me.query) {
		found = strcmp(me.query, "-") == 0 ? query_all(str_cstr(&spec)) :
						     query(str_cstr(&spec), slice_of(me.query));
	} else if (strcmp(type, "hash") != 0 && strcmp(type, "btree") != 0) {
		log_fatal("%s: only hash and btree tables are built from a file", str_cstr(&spec));
	} else if (me.list) {
		if (!bdb_walk(str_cstr(&file), print_entry, NULL, &err))
			log_fatal("%s", err.text);
	} else if (me.delete) {
		struct bdb_writer *w = bdb_open_for_change(str_cstr(&file), &err);

		found = w ? bdb_delete(w, slice_of(me.delete), &err) : -1;
		if (found < 0 || !bdb_close(&w, &err))
			log_fatal("%s", err.text);
	} else {
		FILE *f = me.incremental ? stdin : fopen(path, "re");

		if (!f)
			log_fatal("open %s: %m", path);
		rebuild(type, path, f);
		if (f != stdin)
			fclose(f);
	}
	str_free(&spec);
	str_free(&file);
	free(type);
	return found;
}

int main(int argc, char **argv)
{
	const char *dir = NULL, *slash = strrchr(argv[0], '/');
	struct config *config;
	struct err err;
	int option, found = 0;

	me.program = slash ? slash + 1 : argv[0];
	me.aliases = strcmp(me.program, "postalias") == 0;
	while ((option = getopt(argc, argv, "c:d:q:sirwfnNopvbhmFp")) > 0) {
		switch (option) {
		case 'c':
			dir = optarg;
			break;
		case 'd':
			me.delete = optarg;
			break;
		case 'q':
			me.query = optarg;
			break;
		case 's':
			me.list = true;
			break;
		case 'i':
			me.incremental = true;
			break;
		case 'r':
			me.replace = true;
			break;
		case 'w':
			me.warn_duplicates = false;
			break;
		case 'f':
			me.keep_case = true;
			break;
		case '?':
			fprintf(stderr, "usage: %s [-c dir] [-d key] [-q key] [-firsvw] [type:]file …\n", me.program);
			return 1;
		}
	}
	config = config_load(dir, NULL, 0, &err);
	if (!config)
		log_fatal("%s", err.text);
	server_types_add();
	tables_use_config(config);
	for (int i = optind; i < argc; i++)
		found |= handle(argv[i], config_text(config, "default_database_type"));
	config_free(&config);
	return (me.query || me.delete) && !found ? 1 : 0;
}
