/* SPDX-License-Identifier: ISC */
#include "tables/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/sasl/base64.h"
#include "tables/lines.h"

struct entry {
	struct slice key, value; /* with NUL, when they have one */
	int line;
	bool dropped;
};

struct build {
	const struct table_build *how;
	struct db_writer *writer;        /* entries go there at once; NULL: they are collected */
	struct arena *arena;
	struct entry *entries;
	size_t count, room, bytes;
	int line;
	bool as_is;                      /* this key is not folded */
	struct err *err;
};

static void complain(const struct build *b, const char *text, struct slice what)
{
	log_warning("%s, line %d: %s: \"%.*s\"", b->how->name, b->line, text, SLICE_FMT(slice_sub(what, 0, 100)));
}

static void say_duplicate(const struct build *b, int line, struct slice key)
{
	if (key.len > 0 && key.ptr[key.len - 1] == '\0')
		key.len--;
	if (!b->how->quiet && !b->how->replace)
		log_warning("%s, line %d: duplicate entry: \"%.*s\"", b->how->name, line, SLICE_FMT(slice_sub(key, 0, 100)));
}

/* --- entries --- */

static bool with_nul(const struct table_build *how)
{
	return how->nul == NUL_BY_FORMAT ? how->format->nul : how->nul == NUL_ALWAYS;
}

/* A key that the format cannot hold is the line's fault, not the file's. */
static bool put_now(struct build *b, const struct entry *e)
{
	int stored = b->how->format->put(b->writer, e->key, e->value, b->how->replace, b->err);

	if (stored == 0)
		say_duplicate(b, e->line, e->key);
	if (stored < 0 && b->err->code == ERR_LIMIT) {
		log_warning("%s, line %d: %s", b->how->name, e->line, b->err->text);
		return true;
	}
	return stored >= 0;
}

/* Terminated copies; `len` counts the NUL when the file is to have it. */
static bool store(struct build *b, struct slice key, struct slice value)
{
	struct str folded = { 0 };
	size_t nul = with_nul(b->how);
	struct entry e = { .line = b->line };

	if (b->writer)
		arena_reset(b->arena);
	if (b->how->keep_case || b->as_is)
		str_append(&folded, key);
	else
		str_append_lower(&folded, key);
	e.key = arena_slice(b->arena, str_slice(&folded));
	e.value = arena_slice(b->arena, value);
	e.key.len += nul;
	e.value.len += nul;
	str_free(&folded);
	if (b->writer)
		return put_now(b, &e);
	if (b->count == b->room) {
		b->room = b->room ? b->room * 2 : 1024;
		b->entries = mem_realloc(b->entries, b->room * sizeof(*b->entries));
	}
	b->entries[b->count++] = e;
	b->bytes += e.key.len + e.value.len;
	return true;
}

static bool add_file(struct str *content, struct slice path, struct err *err)
{
	char *name = mem_slicedup(path);
	FILE *f = fopen(name, "re");
	char block[8192];
	size_t got;

	if (f && content->len > 0)
		str_append_byte(content, '\n');
	while (f && (got = fread(block, 1, sizeof(block), f)) > 0)
		str_append(content, slice_make(block, got));
	bool ok = f && !ferror(f);

	if (!ok)
		err_set_errno(err, ERR_TEMPORARY, "open %s", name);
	if (f)
		fclose(f);
	free(name);
	return ok;
}

/* -F: the value names files. */
static bool store_files(struct build *b, struct slice key, struct slice names)
{
	struct str content = { 0 }, encoded = { 0 };
	struct slice name;
	struct err err;
	bool ok = true, good = true;

	while (good && slice_word(&names, " ,\t\r\n", &name))
		good = add_file(&content, name, &err);
	if (good) {
		base64_encode(str_slice(&content), &encoded);
		ok = store(b, key, str_slice(&encoded));
	} else {
		log_warning("%s, line %d: %s: skipping this entry", b->how->name, b->line, err.text);
	}
	str_free(&content);
	str_free(&encoded);
	return ok;
}

static bool map_entry(struct build *b, struct slice text)
{
	struct slice value = text, key;

	if (!line_take_key(&value, &key)) {
		complain(b, "unbalanced '\"', ignoring this line", text);
		return true;
	}
	if (value.len == 0) {
		complain(b, "expected format: key whitespace value", text);
		return true;
	}
	if (key.ptr[key.len - 1] == ':')
		complain(b, "record is in \"key: value\" format; is this an alias file?", key);
	return b->how->files ? store_files(b, key, value) : store(b, key, value);
}

/* "name: value, value"; the name may be quoted. */
static bool alias_entry(struct build *b, struct slice text)
{
	struct str key = { 0 };
	size_t i = 0;
	bool quoted = false, ok = true;

	for (; i < text.len && (quoted || text.ptr[i] != ':'); i++) {
		if (text.ptr[i] == '"')
			quoted = !quoted;
		else if (text.ptr[i] == '\\' && i + 1 < text.len)
			str_append_byte(&key, text.ptr[++i]);
		else
			str_append_byte(&key, text.ptr[i]);
	}
	struct slice name = slice_trim(str_slice(&key)), value = slice_trim(slice_sub(text, i + 1, text.len));

	if (i >= text.len || name.len == 0 || value.len == 0)
		complain(b, "need name:value pair", text);
	else
		ok = b->how->files ? store_files(b, name, value) : store(b, name, value);
	str_free(&key);
	return ok;
}

/* newaliases of Sendmail left these marks, and programs look for them. */
static bool store_marks(struct build *b)
{
	char host[256] = "localhost", now[32];

	if (!b->how->aliases)
		return true;
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(now, sizeof(now), "%lld", (long long)time(NULL));
	b->line++;
	b->as_is = true;
	return store(b, SLICE("@"), SLICE("@")) && store(b, SLICE("YP_LAST_MODIFIED"), slice_of(now)) &&
	       store(b, SLICE("YP_MASTER_NAME"), slice_of(host));
}

static bool read_source(struct build *b, FILE *source)
{
	struct line_reader reader = line_reader_of_file(source);
	struct slice line;
	bool ok = true;

	while (ok && line_reader_next(&reader, &line)) {
		b->line = reader.line;
		if (reader.indented)
			complain(b, "a logical line must not start with white space", line);
		else if (slice_find(line, '\0') >= 0)
			complain(b, "a NUL byte, ignoring this line", line);
		else if (b->how->utf8 && !address_valid_utf8(line))
			complain(b, "non-UTF-8 input, ignoring this line", line);
		else
			ok = (b->how->aliases ? alias_entry : map_entry)(b, line);
	}
	if (reader.failed)
		ok = err_set_errno(b->err, ERR_TEMPORARY, "read %s", b->how->name);
	line_reader_end(&reader);
	return ok;
}

static void free_build(struct build *b)
{
	arena_free(&b->arena);
	free(b->entries);
}

/* --- a new file --- */

static int by_key(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	int order = slice_compare((*x)->key, (*y)->key);

	return order ? order : (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

/* Of entries with one key one stays; `order` has them sorted. */
static void drop_duplicates(struct build *b, struct entry **order)
{
	for (size_t i = 1; i < b->count; i++) {
		if (!slice_eq(order[i - 1]->key, order[i]->key))
			continue;
		/* The later one counts with -r, the first without. */
		order[b->how->replace ? i - 1 : i]->dropped = true;
	}
	for (size_t i = 0; i < b->count; i++)
		if (b->entries[i].dropped)
			say_duplicate(b, b->entries[i].line, b->entries[i].key);
}

static bool put_all(struct build *b)
{
	struct entry **order = mem_alloc((b->count + 1) * sizeof(*order));
	bool ok = true;

	for (size_t i = 0; i < b->count; i++)
		order[i] = &b->entries[i];
	qsort(order, b->count, sizeof(*order), by_key);
	drop_duplicates(b, order);
	for (size_t i = 0; ok && i < b->count; i++) {
		const struct entry *e = b->how->format->sorted ? order[i] : &b->entries[i];

		if (!e->dropped)
			ok = put_now(b, e);
	}
	free(order);
	return ok;
}

/* The old file's owner and mode; else whatever the source may be read by, the table may. */
static bool copy_rights(const struct table_build *how, FILE *source, const char *old, const char *new, struct err *err)
{
	struct stat st;
	bool known = stat(old, &st) == 0;

	if (!known && how->plain_mode)
		return chmod(new, 0644) == 0 || err_set_errno(err, ERR_TEMPORARY, "chmod %s", new);
	if (!known && (fstat(fileno(source), &st) != 0 || !S_ISREG(st.st_mode)))
		return true;
	if (geteuid() == 0 && chown(new, st.st_uid, st.st_gid) != 0)
		return err_set_errno(err, ERR_TEMPORARY, "chown %s", new);
	return chmod(new, st.st_mode & 0666) == 0 || err_set_errno(err, ERR_TEMPORARY, "chmod %s", new);
}

static bool sync_path(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		err_set_errno(err, ERR_TEMPORARY, "sync %s", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool write_file(struct build *b, const char *file, struct err *err)
{
	struct db_size size = { b->count, b->bytes };
	bool ok;

	b->writer = b->how->format->create(file, &size, err);
	if (!b->writer)
		return false;
	ok = put_all(b);
	/* The first error is the one to tell. */
	struct err later;

	return b->how->format->finish(b->writer, ok ? err : &later) && ok;
}

bool table_build(const struct table_build *how, FILE *source, struct err *err)
{
	struct build b = { .how = how, .arena = arena_create(65536), .err = err };
	struct str new = { 0 }, final = { 0 };
	bool ok;

	err->code = ERR_NONE;
	str_printf(&final, "%s%s", how->name, how->format->suffix);
	str_printf(&new, "%s.%d.new", str_cstr(&final), (int)getpid());
	ok = read_source(&b, source) && store_marks(&b);
	if (ok) {
		(void)unlink(str_cstr(&new));
		ok = write_file(&b, str_cstr(&new), err) &&
		     copy_rights(how, source, str_cstr(&final), str_cstr(&new), err) && sync_path(str_cstr(&new), err) &&
		     (rename(str_cstr(&new), str_cstr(&final)) == 0 ||
		      err_set_errno(err, ERR_TEMPORARY, "rename %s", str_cstr(&new)));
		if (!ok)
			(void)unlink(str_cstr(&new));
	}
	free_build(&b);
	str_free(&new);
	str_free(&final);
	return ok;
}

/* --- changes --- */

static struct db_writer *open_for_change(const struct table_build *how, struct err *err)
{
	struct db_writer *w = NULL;
	struct str file = { 0 };

	str_printf(&file, "%s%s", how->name, how->format->suffix);
	if (!how->format->open_for_change)
		err_set(err, ERR_PERMANENT, "%s:%s: tables of this type are built anew, not changed", how->format->type, how->name);
	else
		w = how->format->open_for_change(str_cstr(&file), err);
	str_free(&file);
	return w;
}

static bool file_is_there(const struct table_build *how)
{
	struct str file = { 0 };

	str_printf(&file, "%s%s", how->name, how->format->suffix);
	bool there = access(str_cstr(&file), F_OK) == 0;

	str_free(&file);
	return there;
}

bool table_build_add(const struct table_build *how, FILE *source, struct err *err)
{
	struct build b = { .how = how, .err = err };
	struct err later;
	bool ok;

	if (how->format->open_for_change && !file_is_there(how))
		return table_build(how, source, err);
	err->code = ERR_NONE;
	b.writer = open_for_change(how, err);
	if (!b.writer)
		return false;
	b.arena = arena_create(4096);
	ok = read_source(&b, source);
	ok = how->format->finish(b.writer, ok ? err : &later) && ok;
	free_build(&b);
	return ok;
}

static int delete_one(const struct table_build *how, struct db_writer *w, struct slice key, struct err *err)
{
	struct str text = { 0 };
	int result;

	if (how->keep_case)
		str_append(&text, key);
	else
		str_append_lower(&text, key);
	(void)str_cstr(&text);
	result = how->format->del(w, slice_make(text.data, text.len + 1), err);
	if (result == 0 && text.len > 0)
		result = how->format->del(w, str_slice(&text), err);
	str_free(&text);
	return result;
}

int table_build_delete(const struct table_build *how, bool (*next)(void *context, struct slice *key), void *context,
		       struct err *err)
{
	struct db_writer *w = open_for_change(how, err);
	struct err later;
	struct slice key;
	int result = 0;

	if (!w)
		return -1;
	while (result >= 0 && next(context, &key)) {
		int one = delete_one(how, w, key, err);

		result = one < 0 ? -1 : result | one;
	}
	return how->format->finish(w, result < 0 ? &later : err) ? result : -1;
}
