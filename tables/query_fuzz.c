/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tables/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLOSER "\001"  /* what the quoting below never lets through */

static bool quote(void *context, struct slice text, struct str *out, struct err *err)
{
	for (size_t i = 0; i < text.len; i++)
		str_append_byte(out, text.ptr[i] == CLOSER[0] ? '_' : text.ptr[i]);
	return true;
}

static size_t closers(struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == CLOSER[0];
	return n;
}

/* A key and a value through the templates: nothing of a key gets past the quoting. */
static void use(struct table_query *q, const char *sql, struct slice key, struct slice value)
{
	struct query_result result = { { 0 }, 0 };
	struct str out = { 0 };
	struct err err;

	if (table_query_wants(q, key, &err) == 1) {
		if (table_query_expand(q, 0, key, quote, NULL, &out, &err) &&
		    closers(str_slice(&out)) > closers(slice_of(sql)))
			__builtin_trap();
		if (!table_query_add(q, key, value, &result, &err) && err.code == ERR_NONE)
			__builtin_trap();
	}
	str_free(&out);
	str_free(&result.text);
}

/* Key, line end, value, line end, then the file of a table. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make(data, size), key, value;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct table_settings *settings;
	struct table_query *q;
	struct str path = { 0 };
	struct err err;
	const char *sql;

	(void)slice_cut(&text, '\n', &key);
	(void)slice_cut(&text, '\n', &value);
	if (fd >= 0 && write(fd, text.ptr ? text.ptr : "", text.len) == (ssize_t)text.len) {
		str_printf(&path, "/proc/self/fd/%d", fd);
		settings = table_settings_open(str_cstr(&path), &err);
		sql = settings ? table_settings_sql(settings, &err) : NULL;
		q = sql ? table_query_open(settings, sql, &err) : NULL;
		if (q)
			use(q, sql, key, value);
		table_query_free(&q);
		table_settings_free(&settings);
	}
	str_free(&path);
	close(fd);
	return 0;
}
