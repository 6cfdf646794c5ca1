/* SPDX-License-Identifier: ISC */
/* regexp:/file: POSIX regular expressions, as regexp_table(5) describes them. */
#include <regex.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/pattern_file.h"

static bool read_flags(struct slice text, int *flags, struct err *err)
{
	for (size_t i = 0; i < text.len; i++) {
		switch (text.ptr[i]) {
		case 'i':
			*flags ^= REG_ICASE;
			break;
		case 'm':
			*flags ^= REG_NEWLINE;
			break;
		case 'x':
			*flags ^= REG_EXTENDED;
			break;
		default:
			return err_set(err, ERR_SYNTAX, "unknown regexp option \"%c\"", text.ptr[i]);
		}
	}
	return true;
}

static void *compile(const struct pattern_text *text, unsigned wanted, unsigned *groups, struct err *err)
{
	int flags = REG_ICASE | REG_EXTENDED, code;
	char *pattern;
	regex_t *re;

	if (!read_flags(text->flags, &flags, err))
		return NULL;
	/* Finding out where groups are is much dearer. */
	if (wanted == 0)
		flags |= REG_NOSUB;
	re = mem_alloc(sizeof(*re));
	pattern = mem_slicedup(text->pattern);
	code = regcomp(re, pattern, flags);
	free(pattern);
	if (code == 0) {
		*groups = (unsigned)re->re_nsub;
		return re;
	}
	char reason[100];

	regerror(code, re, reason, sizeof(reason));
	err_set(err, ERR_SYNTAX, "%s", reason);
	free(re);
	return NULL;
}

static void free_compiled(void *compiled)
{
	regfree(compiled);
	free(compiled);
}

static enum pattern_outcome match_key(const void *compiled, struct pattern_match *match, struct err *err)
{
	const char *text = match->key.ptr;
	regmatch_t at[REPLACEMENT_GROUPS + 1] = { { .rm_so = 0, .rm_eo = (regoff_t)match->key.len } };
	int code = regexec(compiled, text, match->wanted ? match->wanted + 1 : 0, at, REG_STARTEND);

	if (code == REG_NOMATCH)
		return PATTERN_NO;
	if (code != 0) {
		char reason[100];

		regerror(code, compiled, reason, sizeof(reason));
		err_set(err, ERR_TEMPORARY, "%s", reason);
		return PATTERN_FAILED;
	}
	for (unsigned i = 0; i < match->wanted; i++)
		match->groups[i] = at[i + 1].rm_so < 0 ? SLICE_NONE :
							  slice_make(text + at[i + 1].rm_so,
								     (size_t)(at[i + 1].rm_eo - at[i + 1].rm_so));
	return PATTERN_YES;
}

static const struct pattern_kind kind = {
	.name = "regexp", .substitutes = true, .cut = pattern_cut_delimited, .compile = compile, .free = free_compiled,
	.match = match_key,
};

static void *open_table(const char *name, struct err *err)
{
	return pattern_file_open(&kind, name, err);
}

const struct table_type table_regexp = {
	.name = "regexp", .whole_keys = true, .open = open_table, .close = pattern_file_close,
	.lookup = pattern_file_lookup, .changed = pattern_file_changed,
};
