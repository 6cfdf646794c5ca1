/* SPDX-License-Identifier: ISC */
/* postmap and postalias: build, change and ask lookup tables. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "common/sasl/base64.h"
#include "tables/build.h"
#include "tables/servers/servers.h"
#include "tables/table_types.h"
#include "tools/lib/message_keys.h"

static struct {
	const char *program;
	const char *dir;                 /* -c */
	struct table_build how;
	bool incremental, keep_root, list;
	const char *query, *delete;
	struct message_keys message;     /* -b -h -m */
	bool no_utf8;
} me;

static void __attribute__((noreturn)) usage(void)
{
	log_fatal("usage: %s [-%sfFimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [type:]file...", me.program,
		  me.how.aliases ? "" : "bh");
}

/* "hash" of "hash:/x". */
static struct slice type_of(const char *spec)
{
	struct slice rest = slice_of(spec), type;

	slice_cut(&rest, ':', &type);
	return type;
}

static const struct db_format *format_of(const char *spec, const char *purpose)
{
	const struct db_format *format = db_format_find(type_of(spec));

	if (!format)
		log_fatal("table %s: %s is not supported for tables of this type", spec, purpose);
	return format;
}

/* --- asking --- */

struct asked {
	struct table *table;
	struct arena *arena;
	bool print_key, found;
};

static void print_value(const char *spec, struct slice value)
{
	struct str text = { 0 };

	if (me.how.files) {
		if (!base64_decode(value, &text))
			log_fatal("table %s: a value is not base64, or malformed", spec);
		value = str_slice(&text);
	}
	fwrite(value.ptr ? value.ptr : "", 1, value.len, stdout);
	putchar('\n');
	str_free(&text);
}

static void ask(struct slice key, void *context)
{
	struct asked *a = context;
	struct slice value;
	struct err err = { 0 };
	enum table_result result = table_lookup(a->table, key, a->arena, &value, &err);

	if (result == TABLE_ERROR)
		log_fatal("%s", err.text);
	if (result == TABLE_FOUND) {
		if (a->print_key)
			printf("%.*s%s", SLICE_FMT(key), me.how.aliases ? ":\t" : "\t");
		print_value(table_name(a->table), value);
		a->found = true;
	}
	arena_reset(a->arena);
}

/* A key a line; or the message that is there. */
static void ask_all(struct asked *a)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (me.message.headers || me.message.body) {
		me.message.on_key = ask;
		me.message.context = a;
		if (!message_keys_read(&me.message, stdin))
			log_fatal("read standard input: %m");
		return;
	}
	while ((len = getline(&line, &size, stdin)) >= 0) {
		if (len > 0 && line[len - 1] == '\n')
			len--;
		ask(slice_make(line, (size_t)len), a);
	}
	free(line);
}

static bool query(const char *spec)
{
	struct err err = { 0 };
	struct asked a = { .table = table_open(spec, &err), .arena = arena_create(0) };

	if (!a.table)
		log_fatal("%s", err.text);
	if (me.how.keep_case)
		table_keep_case(a.table);
	if (strcmp(me.query, "-") == 0) {
		a.print_key = true;
		ask_all(&a);
	} else if (*me.query == '\0') {
		log_fatal("table %s: an empty key", spec);
	} else {
		ask(slice_of(me.query), &a);
	}
	table_close(&a.table);
	arena_free(&a.arena);
	return a.found;
}

static void print_entry(struct slice key, struct slice value, void *context)
{
	printf("%.*s%s", SLICE_FMT(key), me.how.aliases ? ":\t" : "\t");
	print_value(context, value);
}

static void list(const char *spec, const char *name)
{
	struct err err = { 0 };
	struct db_table *table = db_table_open(format_of(spec, "a list of all entries"), name, &err);

	if (!table || !db_table_walk(table, print_entry, (void *)(uintptr_t)spec, &err))
		log_fatal("table %s: %s", spec, err.text);
	db_table_close(table);
}

/* --- changing --- */

struct keys {
	FILE *file;                      /* NULL: one key */
	char *line;
	size_t size;
	bool given;
};

static bool next_key(void *context, struct slice *key)
{
	struct keys *k = context;
	ssize_t len;

	if (!k->file) {
		*key = slice_of(me.delete);
		return !k->given && (k->given = true);
	}
	len = getline(&k->line, &k->size, k->file);
	if (len > 0 && k->line[len - 1] == '\n')
		len--;
	*key = slice_make(k->line, len > 0 ? (size_t)len : 0);
	return len >= 0;
}

static bool delete(const char *spec)
{
	struct keys keys = { .file = strcmp(me.delete, "-") == 0 ? stdin : NULL };
	struct err err = { 0 };
	int found;

	me.how.format = format_of(spec, "deletion");
	found = table_build_delete(&me.how, next_key, &keys, &err);
	free(keys.line);
	if (found < 0)
		log_fatal("table %s: %s", spec, err.text);
	return found > 0;
}

/*
 * A file of a user is worked on as that user: the folder may be the user's too, who could put links
 * there.  A folder that the user may not write to is safe, and then only root can.
 */
static void become_owner(const char *name, FILE *source)
{
	char *copy = mem_strdup(name);
	struct stat st;

	if (!me.keep_root && geteuid() == 0 && fstat(fileno(source), &st) == 0 && S_ISREG(st.st_mode) && st.st_uid != 0) {
		if (setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0)
			log_fatal("become owner of %s: %m", name);
		if (faccessat(AT_FDCWD, dirname(copy), W_OK, AT_EACCESS) != 0 &&
		    (seteuid(0) != 0 || setegid(0) != 0))
			log_fatal("become root again: %m");
	}
	free(copy);
}

static void become_root_again(void)
{
	if (getuid() == 0 && geteuid() != 0 && (seteuid(0) != 0 || setegid(0) != 0))
		log_fatal("become root again: %m");
}

static void build(const char *spec)
{
	struct err err = { 0 };
	FILE *source;
	bool ok;

	me.how.format = db_format_find(type_of(spec));
	if (!me.how.format)
		log_fatal("unsupported dictionary type: %.*s does not support bulk-mode creation.", SLICE_FMT(type_of(spec)));
	source = me.incremental ? stdin : fopen(me.how.name, "re");
	if (!source)
		log_fatal("open %s: %m", me.how.name);
	become_owner(me.how.name, source);
	ok = (me.incremental ? table_build_add : table_build)(&me.how, source, &err);
	if (!ok)
		log_fatal("table %s: %s", spec, err.text);
	if (source != stdin)
		fclose(source);
	become_root_again();
}

/* --- the command line --- */

/* True: a key that was asked for is there. */
static bool handle(const char *argument, const char *default_type)
{
	const char *colon = strchr(argument, ':');
	struct str spec = { 0 };
	bool found = false;

	if (colon)
		str_append_text(&spec, argument);
	else
		str_printf(&spec, "%s:%s", default_type, argument);
	me.how.name = colon ? colon + 1 : argument;
	if (me.query)
		found = query(str_cstr(&spec));
	else if (me.delete)
		found = delete(str_cstr(&spec));
	else if (me.list)
		list(str_cstr(&spec), me.how.name);
	else
		build(str_cstr(&spec));
	str_free(&spec);
	return found;
}

static void set_flag(int option)
{
	switch (option) {
	case 'b': me.message.body = true; break;
	case 'f': me.how.keep_case = true; break;
	case 'F': me.how.files = true; break;
	case 'h': me.message.headers = true; break;
	case 'i': me.incremental = true; break;
	case 'm': me.message.mime = true; break;
	case 'n': me.how.nul = NUL_NEVER; break;
	case 'N': me.how.nul = NUL_ALWAYS; break;
	case 'o': me.keep_root = true; break;
	case 'p': me.how.plain_mode = true; break;
	case 'r': me.how.replace = true; break;
	case 's': me.list = true; break;
	case 'u': me.no_utf8 = true; break;
	case 'U': me.no_utf8 = false; break;
	case 'v': log_set_verbose(log_verbose() + 1); break;
	case 'w': me.how.quiet = true; break;
	default: usage();
	}
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, me.how.aliases ? "Nc:d:fFinopq:rsuvw" : "Nbc:d:fFhimnopq:rsuUvw")) > 0) {
		if (option == 'c')
			me.dir = optarg;
		else if (option == 'd' && !me.query && !me.list)
			me.delete = optarg;
		else if (option == 'q' && !me.delete && !me.list)
			me.query = optarg;
		else if (option == 'd' || option == 'q' || (option == 's' && (me.query || me.delete)))
			log_fatal("specify only one of -s, -q or -d");
		else
			set_flag(option);
	}
	if (optind == argc)
		usage();
	if (me.incremental && (me.query || me.delete || me.list))
		log_fatal("specify only one of -i, -s, -q or -d");
	if ((me.message.body || me.message.headers || me.message.mime) && !(me.query && strcmp(me.query, "-") == 0))
		log_fatal("specify -b, -h or -m only with \"-q -\"");
	if (me.message.mime && !me.message.body && !me.message.headers)
		log_fatal("specify -m only with -b or -h");
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct config *config;
	struct err err;
	bool found = false;

	me.program = slash ? slash + 1 : argv[0];
	me.how.aliases = strcmp(me.program, "postalias") == 0;
	read_options(argc, argv);
	config = config_load(me.dir, NULL, 0, &err);
	if (!config)
		log_fatal("%s", err.text);
	server_types_add();
	tables_use_config(config);
	me.how.utf8 = !me.no_utf8 && config_bool(config, "smtputf8_enable");
	for (int i = optind; i < argc && !(me.query && found); i++)
		found |= handle(argv[i], config_text(config, "default_database_type"));
	config_free(&config);
	if (fflush(stdout) != 0 || ferror(stdout))
		log_fatal("write: %m");
	return (me.query || me.delete) && !found ? 1 : 0;
}
