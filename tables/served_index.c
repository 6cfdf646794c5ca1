/* SPDX-License-Identifier: ISC */
#include "tables/served_index.h"

#include <stdio.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/config.h"
#include "tables/build.h"
#include "tables/lines.h"

/* Is this name one of alias_maps and alias_database?  Their sources have another form. */
static bool is_aliases(const char *name)
{
	static const char *const parameters[] = { "alias_maps", "alias_database" };

	for (size_t i = 0; tables_config() && i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		struct slice words = slice_of(config_text(tables_config(), parameters[i])), word, type;

		while (slice_word(&words, " ,\t\r\n", &word))
			if (slice_cut(&word, ':', &type) && slice_eq(word, slice_of(name)))
				return true;
	}
	return false;
}

static bool is_newer(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec > b->st_mtim.tv_sec ||
	       (a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec > b->st_mtim.tv_nsec);
}

static bool rebuild(const char *name, FILE *source, bool have_old, struct err *err)
{
	struct table_build how = { .format = db_format_find(SLICE("lmdb")), .name = name, .aliases = is_aliases(name) };

	log_info("table %s: building %s.lmdb: it is %s", name, name, have_old ? "older than its source" : "missing");
	if (table_build(&how, source, err))
		return true;
	log_warning("table %s: %s", name, err->text);
	return have_old;
}

bool served_index_renew(const char *name, struct err *err)
{
	struct str file = { 0 };
	struct stat text, index;
	FILE *source = fopen(name, "re");
	bool have_source = source && fstat(fileno(source), &text) == 0 && S_ISREG(text.st_mode), have_index, ok = true;

	str_printf(&file, "%s.lmdb", name);
	have_index = stat(str_cstr(&file), &index) == 0;
	if (have_source && (!have_index || is_newer(&text, &index)))
		ok = rebuild(name, source, have_index, err);
	else if (!have_index)
		ok = err_set(err, ERR_TEMPORARY, "neither %s nor its source can be read", str_cstr(&file));
	if (source)
		fclose(source);
	str_free(&file);
	return ok;
}
