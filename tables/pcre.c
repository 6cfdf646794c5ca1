/* SPDX-License-Identifier: ISC */
/*
 * pcre:/file: Perl's regular expressions, as pcre_table(5) describes them.
 *
 * What a key may cost has a bound.  The library's limit on steps is not one: it begins anew at each place where a match may
 * start, and with the JIT compiler some steps do not count.  So each pattern is compiled twice.  Keys of up to a line
 * (addresses, nearly all of headers and bodies) take the fast form: at this length all that is less than exponential
 * is cheap, and the library's limit ends the rest.  Longer keys take a form that calls us at each item of the
 * pattern, and we count.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/pattern_file.h"

#define SHORT_KEY   1024
#define MATCH_LIMIT 1000000      /* of the library, for each place where a match may start */
#define HEAP_LIMIT  16384        /* KiB */
#define BUDGET      50000000.0   /* steps for a long key with all rules: about half a second */
#define STEP_BYTES  16           /* bytes passed over that cost as much as a step */
#define STACK_START (32 * 1024)
#define STACK_MAX   (512 * 1024)

/* One a process: it has one thread for lookups, and a match does not suspend. */
static struct {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
} me;

struct pattern {
	pcre2_code *fast, *counted;
};

/* What is left of the budget, and where the last step was. */
struct meter {
	double *left;
	size_t at;
};

static int on_step(pcre2_callout_block *block, void *context)
{
	struct meter *m = context;
	size_t at = block->current_position, moved = at > m->at ? at - m->at : m->at - at;

	m->at = at;
	*m->left -= 1 + (double)moved / STEP_BYTES;
	return *m->left > 0 ? 0 : PCRE2_ERROR_MATCHLIMIT;
}

static bool prepare_library(void)
{
	if (me.context)
		return true;
	me.context = pcre2_match_context_create(NULL);
	me.data = pcre2_match_data_create(REPLACEMENT_GROUPS + 1, NULL);
	me.stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, NULL);
	if (!me.context || !me.data)
		return false;
	pcre2_set_depth_limit(me.context, MATCH_LIMIT);
	pcre2_set_heap_limit(me.context, HEAP_LIMIT);
	pcre2_jit_stack_assign(me.context, NULL, me.stack);
	return true;
}

static bool read_flags(struct slice text, uint32_t *flags, struct err *err)
{
	static const struct {
		char letter;
		uint32_t flag;
	} known[] = {
		{ 'i', PCRE2_CASELESS }, { 'm', PCRE2_MULTILINE }, { 's', PCRE2_DOTALL }, { 'x', PCRE2_EXTENDED },
		{ 'A', PCRE2_ANCHORED }, { 'E', PCRE2_DOLLAR_ENDONLY }, { 'U', PCRE2_UNGREEDY },
		{ 'X', 0 }, /* PCRE2 always does what this asked PCRE for. */
	};

	for (size_t i = 0; i < text.len; i++) {
		size_t n = 0, count = sizeof(known) / sizeof(known[0]);

		while (n < count && known[n].letter != text.ptr[i])
			n++;
		if (n == count)
			return err_set(err, ERR_SYNTAX, "unknown pcre option \"%c\"", text.ptr[i]);
		*flags ^= known[n].flag;
	}
	return true;
}

static pcre2_code *compile_one(struct slice text, uint32_t flags, struct err *err)
{
	PCRE2_SIZE offset;
	PCRE2_UCHAR reason[128];
	int code;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, flags, &code, &offset, NULL);

	if (!compiled) {
		pcre2_get_error_message(code, reason, sizeof(reason));
		err_set(err, ERR_SYNTAX, "error in regex at offset %zu: %s", offset, (char *)reason);
		return NULL;
	}
	/* Without it (no memory that may be written and run) the interpreter does the work. */
	(void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
	return compiled;
}

static void free_pattern(void *compiled)
{
	struct pattern *p = compiled;

	pcre2_code_free(p->fast);
	pcre2_code_free(p->counted);
	free(p);
}

static void *compile(const struct pattern_text *text, unsigned wanted, unsigned *groups, struct err *err)
{
	uint32_t flags = PCRE2_CASELESS | PCRE2_DOTALL, count = 0;
	struct pattern *p;

	if (!prepare_library()) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	if (!read_flags(text->flags, &flags, err))
		return NULL;
	p = mem_alloc(sizeof(*p));
	p->fast = compile_one(text->pattern, flags | PCRE2_NEVER_BACKSLASH_C, err);
	if (p->fast)
		p->counted = compile_one(text->pattern, flags | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, err);
	if (!p->counted) {
		free_pattern(p);
		return NULL;
	}
	pcre2_pattern_info(p->fast, PCRE2_INFO_CAPTURECOUNT, &count);
	*groups = count;
	return p;
}

static bool prepare(struct pattern_match *match)
{
	match->budget = BUDGET;
	return true;
}

static enum pattern_outcome match_key(const void *compiled, struct pattern_match *match, struct err *err)
{
	const struct pattern *p = compiled;
	const char *text = match->key.ptr;
	bool is_long = match->key.len > SHORT_KEY;
	struct meter meter = { &match->budget, 0 };
	PCRE2_UCHAR reason[128];
	int code;

	/* A pattern may have callouts of its own, so the function is there for the fast form too. */
	pcre2_set_callout(me.context, on_step, &meter);
	pcre2_set_match_limit(me.context, is_long ? UINT32_MAX : MATCH_LIMIT);
	code = pcre2_match(is_long ? p->counted : p->fast, (PCRE2_SPTR)text, match->key.len, 0, 0, me.data, me.context);
	if (code == PCRE2_ERROR_NOMATCH)
		return PATTERN_NO;
	if (code < 0) {
		pcre2_get_error_message(code, reason, sizeof(reason));
		err_set(err, ERR_TEMPORARY, "%s", (char *)reason);
		return PATTERN_FAILED;
	}
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(me.data);

	for (unsigned i = 1; i <= match->wanted; i++) {
		bool set = code == 0 || (int)i < code;

		match->groups[i - 1] = set && at[2 * i] != PCRE2_UNSET && at[2 * i + 1] >= at[2 * i] ?
					       slice_make(text + at[2 * i], at[2 * i + 1] - at[2 * i]) :
					       SLICE_NONE;
	}
	return PATTERN_YES;
}

static const struct pattern_kind kind = {
	.name = "pcre", .substitutes = true, .cut = pattern_cut_delimited, .compile = compile, .free = free_pattern,
	.prepare = prepare, .match = match_key,
};

static void *open_table(const char *name, struct err *err)
{
	return pattern_file_open(&kind, name, err);
}

const struct table_type table_pcre = {
	.name = "pcre", .whole_keys = true, .open = open_table, .close = pattern_file_close,
	.lookup = pattern_file_lookup, .changed = pattern_file_changed,
};
