/* SPDX-License-Identifier: ISC */
/*
 * Tables that are read into memory when they are opened: texthash, inline,
 * static, fail, and unix:passwd.byname and group.byname (so that a process in a
 * sandbox knows the users; a change of the file replaces the process).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "tables/lines.h"
#include "tables/table_types.h"

struct entry {
	struct entry *next;
	struct slice key, value;
};

struct memory {
	struct arena *arena;
	struct entry **buckets;
	size_t bucket_count, count;
	int fd;                  /* of the file it was read from; -1 when none */
	struct timespec modified;
};

static struct memory *memory_create(void)
{
	struct memory *m = mem_alloc(sizeof(*m));

	m->arena = arena_create(4096);
	m->bucket_count = 1024;
	m->buckets = mem_alloc(m->bucket_count * sizeof(*m->buckets));
	m->fd = -1;
	return m;
}

static void memory_close(void *impl)
{
	struct memory *m = impl;

	if (m->fd >= 0)
		close(m->fd);
	arena_free(&m->arena);
	free(m->buckets);
	free(m);
}

static struct entry *memory_find(const struct memory *m, struct slice key)
{
	struct entry *e = m->buckets[slice_hash(key) % m->bucket_count];

	while (e && !slice_eq(e->key, key))
		e = e->next;
	return e;
}

static void memory_grow(struct memory *m)
{
	size_t count = m->bucket_count * 4;
	struct entry **buckets = mem_alloc(count * sizeof(*buckets));

	for (size_t i = 0; i < m->bucket_count; i++) {
		while (m->buckets[i]) {
			struct entry *e = m->buckets[i];
			size_t to = slice_hash(e->key) % count;

			m->buckets[i] = e->next;
			e->next = buckets[to];
			buckets[to] = e;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->bucket_count = count;
}

static void memory_put(struct memory *m, struct slice key, struct slice value)
{
	struct entry *e;

	if (memory_find(m, key))
		return;
	if (m->count++ > m->bucket_count * 2)
		memory_grow(m);
	size_t at = slice_hash(key) % m->bucket_count;

	e = arena_alloc(m->arena, sizeof(*e));
	e->key = arena_slice(m->arena, key);
	e->value = arena_slice(m->arena, value);
	e->next = m->buckets[at];
	m->buckets[at] = e;
}

static enum table_result memory_lookup(void *impl, struct slice key, struct arena *arena,
				       struct slice *value, struct err *err)
{
	struct entry *e = memory_find(impl, key);

	if (!e)
		return TABLE_NOT_FOUND;
	*value = e->value;
	return TABLE_FOUND;
}

static bool memory_changed(void *impl)
{
	struct memory *m = impl;
	struct stat st;

	return m->fd >= 0 && fstat(m->fd, &st) == 0 &&
	       (st.st_nlink == 0 || st.st_mtim.tv_sec != m->modified.tv_sec ||
		st.st_mtim.tv_nsec != m->modified.tv_nsec);
}

static bool watch_file(struct memory *m, const char *path)
{
	struct stat st;

	m->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (m->fd < 0 || fstat(m->fd, &st) != 0)
		return false;
	m->modified = st.st_mtim;
	return true;
}

static void put_folded(struct memory *m, struct slice key, struct slice value)
{
	struct str folded = { 0 };

	str_append_lower(&folded, key);
	memory_put(m, str_slice(&folded), value);
	str_free(&folded);
}

/* --- texthash: postmap's source form --- */

static void *texthash_open(const char *name, struct err *err)
{
	struct memory *m = memory_create();
	FILE *f = watch_file(m, name) ? fopen(name, "re") : NULL;
	struct line_reader reader = line_reader_of_file(f);
	struct slice line, key;

	if (!f) {
		err_set_errno(err, ERR_TEMPORARY, "open %s", name);
		memory_close(m);
		return NULL;
	}
	while (line_reader_next(&reader, &line)) {
		if (!reader.indented && line_take_key(&line, &key) && line.len > 0)
			put_folded(m, key, line);
		else
			log_warning("%s, line %d: expected format: key whitespace value", name, reader.line);
	}
	line_reader_end(&reader);
	fclose(f);
	return m;
}

/* --- inline:{ key=value, { key = text with spaces } } --- */

static void *inline_open(const char *name, struct err *err)
{
	struct slice s = slice_trim(slice_of(name)), item;
	struct memory *m = memory_create();

	if (s.len < 2 || s.ptr[0] != '{' || s.ptr[s.len - 1] != '}') {
		err_set(err, ERR_SYNTAX, "expected inline:{ key=value, … }");
		memory_close(m);
		return NULL;
	}
	s = slice_sub(s, 1, s.len - 2);
	for (;;) {
		s = slice_trim(s);
		while (s.len > 0 && s.ptr[0] == ',')
			s = slice_trim(slice_sub(s, 1, s.len));
		if (s.len == 0)
			break;
		ptrdiff_t end = slice_find(s, '}');

		if (s.ptr[0] == '{' && end > 0) {
			item = slice_sub(s, 1, (size_t)end - 1);
			s = slice_sub(s, (size_t)end + 1, s.len);
		} else {
			slice_word(&s, ", \t\r\n", &item);
		}
		struct slice value = item, key;

		slice_cut(&value, '=', &key);
		put_folded(m, slice_trim(key), slice_trim(value));
	}
	return m;
}

/* --- static:value, static:{value with spaces} --- */

static void *static_open(const char *name, struct err *err)
{
	struct slice s = slice_of(name);
	struct memory *m = memory_create();

	if (s.len >= 2 && s.ptr[0] == '{' && s.ptr[s.len - 1] == '}')
		s = slice_trim(slice_sub(s, 1, s.len - 2));
	memory_put(m, SLICE(""), s);
	return m;
}

static enum table_result static_lookup(void *impl, struct slice key, struct arena *arena,
				       struct slice *value, struct err *err)
{
	return memory_lookup(impl, SLICE(""), arena, value, err);
}

static void *fail_open(const char *name, struct err *err)
{
	return memory_create();
}

static enum table_result fail_lookup(void *impl, struct slice key, struct arena *arena, struct slice *value,
				     struct err *err)
{
	err_set(err, ERR_TEMPORARY, "this table fails always");
	return TABLE_ERROR;
}

/* --- unix: --- */

static void read_users(struct memory *m)
{
	struct passwd *p;
	struct str value = { 0 };

	setpwent();
	while ((p = getpwent()) != NULL) {
		str_clear(&value);
		str_printf(&value, "%s:x:%u:%u:%s:%s:%s", p->pw_name, p->pw_uid, p->pw_gid, p->pw_gecos,
			   p->pw_dir, p->pw_shell);
		memory_put(m, slice_of(p->pw_name), str_slice(&value));
	}
	endpwent();
	str_free(&value);
}

static void read_groups(struct memory *m)
{
	struct group *g;
	struct str value = { 0 };

	setgrent();
	while ((g = getgrent()) != NULL) {
		str_clear(&value);
		str_printf(&value, "%s:x:%u:", g->gr_name, g->gr_gid);
		for (size_t i = 0; g->gr_mem[i]; i++)
			str_printf(&value, "%s%s", i ? "," : "", g->gr_mem[i]);
		memory_put(m, slice_of(g->gr_name), str_slice(&value));
	}
	endgrent();
	str_free(&value);
}

static void *unix_open(const char *name, struct err *err)
{
	bool users = strcmp(name, "passwd.byname") == 0;
	struct memory *m = memory_create();

	if (!users && strcmp(name, "group.byname") != 0) {
		err_set(err, ERR_SYNTAX, "unix:%s: expected passwd.byname or group.byname", name);
	} else if (!watch_file(m, users ? "/etc/passwd" : "/etc/group")) {
		err_set_errno(err, ERR_TEMPORARY, "open");
	} else {
		if (users)
			read_users(m);
		else
			read_groups(m);
		return m;
	}
	memory_close(m);
	return NULL;
}

const struct table_type table_texthash = {
	.name = "texthash", .folds = true, .open = texthash_open, .close = memory_close, .lookup = memory_lookup, .changed = memory_changed
};
const struct table_type table_inline = {
	.name = "inline", .folds = true, .open = inline_open, .close = memory_close, .lookup = memory_lookup
};
const struct table_type table_static = {
	.name = "static", .open = static_open, .close = memory_close, .lookup = static_lookup
};
const struct table_type table_fail = {
	.name = "fail", .open = fail_open, .close = memory_close, .lookup = fail_lookup
};
const struct table_type table_unix = {
	.name = "unix", .open = unix_open, .close = memory_close, .lookup = memory_lookup, .changed = memory_changed
};
