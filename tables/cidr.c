/* SPDX-License-Identifier: ISC */
/* cidr:/file: networks, as cidr_table(5) describes them. */
#include <stdlib.h>

#include "common/base/str.h"
#include "tables/pattern_file.h"

static bool cut(struct slice *text, struct pattern_text *out, struct err *err)
{
	return slice_word(text, " \t\r", &out->pattern) || err_set(err, ERR_SYNTAX, "expected a network");
}

static void *compile(const struct pattern_text *text, unsigned wanted, unsigned *groups, struct err *err)
{
	struct network *network = mem_alloc(sizeof(*network));
	int result = network_parse(text->pattern, network, err);

	if (result > 0)
		return network;
	if (result == 0)
		err_set(err, ERR_SYNTAX, "bad address pattern: \"%.*s\"", SLICE_FMT(slice_sub(text->pattern, 0, 80)));
	free(network);
	return NULL;
}

static bool prepare(struct pattern_match *match)
{
	return network_parse_address(match->key, &match->address);
}

static enum pattern_outcome match_network(const void *compiled, struct pattern_match *match, struct err *err)
{
	const struct network *network = compiled;

	if (network->family != match->address.family)
		return PATTERN_FOREIGN;
	return network_contains(network, &match->address) ? PATTERN_YES : PATTERN_NO;
}

static const struct pattern_kind kind = {
	.name = "cidr", .cut = cut, .compile = compile, .free = free, .prepare = prepare, .match = match_network,
};

static void *open_table(const char *name, struct err *err)
{
	return pattern_file_open(&kind, name, err);
}

const struct table_type table_cidr = {
	.name = "cidr", .whole_keys = true, .open = open_table, .close = pattern_file_close,
	.lookup = pattern_file_lookup, .changed = pattern_file_changed,
};
