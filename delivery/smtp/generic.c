/* SPDX-License-Identifier: ISC */
#include "delivery/smtp/generic.h"

#include "common/base/log.h"
#include "common/mail/address.h"
#include "common/mail/header_addresses.h"

#define FORMS_MAX  5
#define HEADER_MAX (1u << 20)    /* a header of more than this goes as it is */

/* --- the configuration --- */

static bool carries(const struct config *config)
{
	struct slice words = slice_of(config_text(config, "propagate_unmatched_extensions")), word;

	while (slice_word(&words, ", \t\r\n", &word))
		if (slice_eq(word, SLICE("generic")))
			return true;
	return false;
}

bool smtp_generic_load(struct smtp_generic *g, const struct config *config, bool lmtp, bool *enabled, struct err *err)
{
	const char *maps = config_text(config, lmtp ? "lmtp_generic_maps" : "smtp_generic_maps");

	*g = (struct smtp_generic){
		.origin = config_text(config, "myorigin"),
		.delimiters = config_text(config, "recipient_delimiter"),
		.carry = carries(config),
		.address_limit = (size_t)config_int(config, "header_address_token_limit"),
	};
	*enabled = *maps != '\0';
	if (!*enabled)
		return true;
	g->maps = table_list_open(maps, err);
	g->local = g->maps ? match_list_open(config_text(config, "mydestination"), MATCH_DOMAIN, err) : NULL;
	return g->local != NULL;
}

bool smtp_generic_changed(const struct smtp_generic *g)
{
	return table_list_changed(g->maps) || match_list_changed(g->local);
}

/* --- an address --- */

struct form {
	struct slice key;
	bool whole;              /* with the extension: nothing is left to carry over */
};

static struct slice join(struct arena *arena, struct slice local, struct slice domain)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

/* In Postfix's order.  -1: it cannot be found out whether the domain is local. */
static int list_forms(const struct smtp_generic *g, struct slice address, struct arena *arena, struct form form[FORMS_MAX],
		      struct slice *extension, struct err *err)
{
	struct slice local, domain, user;
	enum table_result here;
	bool extended;
	int count = 0;

	address_split(address, &local, &domain);
	extended = address_split_extension(local, g->delimiters, &user, extension);
	*extension = extended ? slice_sub(local, user.len, local.len) : SLICE_NONE;
	form[count++] = (struct form){ address, true };
	if (extended && domain.len > 0)
		form[count++] = (struct form){ join(arena, user, domain), false };
	here = domain.len == 0 || slice_eq_nocase(domain, slice_of(g->origin)) ? TABLE_FOUND
									      : match_list_test(g->local, domain, err);
	if (here == TABLE_ERROR)
		return -1;
	if (here == TABLE_FOUND) {
		if (domain.len > 0)
			form[count++] = (struct form){ local, true };
		if (extended)
			form[count++] = (struct form){ user, false };
	}
	if (domain.len > 0 && count < FORMS_MAX)
		form[count++] = (struct form){ join(arena, SLICE(""), domain), true };
	return count;
}

/* A table's result as one address: "@domain" keeps the local part, no domain means myorigin. */
static struct slice take_result(const struct smtp_generic *g, struct slice from, struct slice value, struct arena *arena)
{
	struct address_scan scan = { .rest = value };
	struct address_place place;
	struct slice local, domain;

	address_split(from, &local, &domain);
	if (value.len > 1 && value.ptr[0] == '@')
		return join(arena, local, slice_sub(value, 1, value.len));
	if (address_scan_next(&scan, arena, &place) <= 0 || place.address.len == 0) {
		log_warning("generic maps: malformed result for %.*s: \"%.*s\"", SLICE_FMT(from), SLICE_FMT(value));
		return from;
	}
	if (slice_rfind(place.address, '@') < 0)
		return join(arena, place.address, slice_of(g->origin));
	return place.address;
}

static struct slice with_extension(struct slice address, struct slice extension, struct arena *arena)
{
	struct slice local, domain;

	address_split(address, &local, &domain);
	return slice_of(arena_printf(arena, "%.*s%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(extension), SLICE_FMT(domain)));
}

bool smtp_generic_address(const struct smtp_generic *g, struct arena *arena, struct slice *address, struct err *err)
{
	struct form form[FORMS_MAX];
	struct slice extension;
	int count;

	if (address->len == 0)
		return true;
	count = list_forms(g, *address, arena, form, &extension, err);
	for (int i = 0; i < count; i++) {
		struct table_question question = { .key = form[i].key, .partial = i > 0 };

		switch (table_list_ask(g->maps, &question, arena, err)) {
		case TABLE_FOUND:
			*address = take_result(g, *address, question.value, arena);
			if (g->carry && !form[i].whole)
				*address = with_extension(*address, extension, arena);
			return true;
		case TABLE_NOT_FOUND:
			break;
		case TABLE_ERROR:
			return false;
		}
	}
	return count >= 0;
}

/* --- the header --- */

struct changing {
	const struct smtp_generic *generic;
	struct arena *arena;
};

static bool replace(void *context, const struct address_place *place, struct slice *to, struct err *err)
{
	struct changing *c = context;

	*to = place->address;
	return smtp_generic_address(c->generic, c->arena, to, err);
}

/* Appends the fields of *block, changed where they must be; what is no field any more stays in *block.  -1, 0, 1. */
static int change_fields(const struct smtp_generic *g, struct slice *block, struct arena *arena, struct str *out,
			 struct err *err)
{
	struct changing changing = { g, arena };
	struct header_change change = { replace, &changing, arena, g->address_limit };
	struct header_field f;
	int changed = 0;

	while (header_next(block, &f)) {
		int result = header_kind(f.name) == HEADER_PLAIN ? 0 : header_change_addresses(&f, &change, out, err);

		if (result < 0)
			return -1;
		if (result == 0)
			str_append(out, f.whole);
		else
			changed = 1;
	}
	return changed;
}

bool smtp_generic_content(const struct smtp_generic *g, struct content *c, const struct delivery_job *job,
			  struct arena *arena, struct err *err)
{
	uint64_t own_length = job->layout.replaces_header ? 0 : job->layout.content.header_length;
	struct slice block = c->header, own;
	struct str out = { 0 };
	int first, second;

	if (own_length > HEADER_MAX || c->header.len > HEADER_MAX)
		return true;
	if (!content_read(c, own_length, arena, &own, err))
		return false;
	first = change_fields(g, &block, arena, &out, err);
	str_append(&out, block);
	second = first < 0 ? -1 : change_fields(g, &own, arena, &out, err);
	str_append(&out, own);
	if (first > 0 || second > 0)
		content_replace_header(c, arena_slice(arena, str_slice(&out)), own_length);
	str_free(&out);
	return second >= 0;
}
