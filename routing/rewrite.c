/* SPDX-License-Identifier: ISC */
#include "routing/rewrite.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "common/mail/address_scan.h"
#include "routing/router.h"

#define CANONICAL_DEPTH 10
#define MASQUERADE_MAX  100

struct masquerade {
	struct slice domain;
	bool keep;                 /* "!domain": what is below it stays */
};

struct rewriter {
	size_t owners;
	const struct config *config;
	struct router *router;
	struct form_style local, remote;
	unsigned canonical, sender_canonical, recipient_canonical, masquerade; /* enum rewrite_place, ORed */
	bool carry_canonical, carry_alias;                                  /* propagate_unmatched_extensions */
	struct masquerade domains[MASQUERADE_MAX];
	size_t domain_count;
	struct match_list *exceptions;
	size_t expansion_limit, recursion_limit, length_limit;
};

/* --- settings --- */

static bool read_places(const struct config *config, const char *parameter, unsigned *places, struct err *err)
{
	static const struct {
		const char *name;
		unsigned place;
	} names[] = {
		{ "envelope_sender", REWRITE_ENVELOPE_SENDER }, { "envelope_recipient", REWRITE_ENVELOPE_RECIPIENT },
		{ "header_sender", REWRITE_HEADER_SENDER },     { "header_recipient", REWRITE_HEADER_RECIPIENT },
	};
	struct slice words = slice_of(config_text(config, parameter)), word;

	while (slice_word(&words, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < 4 && !slice_eq(word, slice_of(names[i].name)))
			i++;
		if (i == 4)
			return err_set(err, ERR_SYNTAX, "%s: \"%.*s\" is none of envelope_sender, envelope_recipient, "
				       "header_sender, header_recipient", parameter, SLICE_FMT(word));
		*places |= names[i].place;
	}
	return true;
}

/* The other lookups that the list may name have their own places (aliases, .forward, generic). */
static void read_carried(struct rewriter *w, const struct config *config)
{
	struct slice words = slice_of(config_text(config, "propagate_unmatched_extensions")), word;

	while (slice_word(&words, ", \t\r\n", &word)) {
		w->carry_canonical = w->carry_canonical || slice_eq(word, SLICE("canonical"));
		w->carry_alias = w->carry_alias || slice_eq(word, SLICE("virtual"));
	}
}

static bool read_masquerade(struct rewriter *w, const struct config *config, struct err *err)
{
	struct slice words = slice_of(config_text(config, "masquerade_domains")), word;

	while (slice_word(&words, ", \t\r\n", &word)) {
		struct masquerade *m = &w->domains[w->domain_count];

		if (w->domain_count == MASQUERADE_MAX)
			return err_set(err, ERR_SYNTAX, "masquerade_domains: more than %d", MASQUERADE_MAX);
		for (m->keep = false; word.len > 0 && word.ptr[0] == '!'; word = slice_sub(word, 1, word.len))
			m->keep = !m->keep;
		m->domain = word;
		w->domain_count++;
	}
	w->exceptions = match_list_open(config_text(config, "masquerade_exceptions"), MATCH_STRING, err);
	return w->exceptions || err_prefix(err, "masquerade_exceptions");
}

/* Owns the router, also when it fails. */
static struct rewriter *create(const struct config *config, struct router *router, struct err *err)
{
	struct rewriter *w = mem_alloc(sizeof(*w));

	w->owners = 1;
	w->config = config;
	w->router = router;
	form_style_local(&w->local, config);
	form_style_remote(&w->remote, config);
	w->expansion_limit = (size_t)config_int(config, "virtual_alias_expansion_limit");
	w->recursion_limit = (size_t)config_int(config, "virtual_alias_recursion_limit");
	w->length_limit = (size_t)config_int(config, "virtual_alias_address_length_limit");
	read_carried(w, config);
	if (!w->router || !read_places(config, "canonical_classes", &w->canonical, err) ||
	    !read_places(config, "sender_canonical_classes", &w->sender_canonical, err) ||
	    !read_places(config, "recipient_canonical_classes", &w->recipient_canonical, err) ||
	    !read_places(config, "masquerade_classes", &w->masquerade, err) || !read_masquerade(w, config, err))
		rewriter_free(&w);
	return w;
}

struct rewriter *rewriter_create(const struct config *config, struct err *err)
{
	return create(config, router_create_for(config, ROUTER_REWRITE, err), err);
}

struct rewriter *rewriter_create_again(const struct rewriter *before, struct err *err)
{
	return create(before->config, router_create_again(before->router, err), err);
}

struct rewriter *rewriter_hold(struct rewriter *w)
{
	w->owners++;
	return w;
}

void rewriter_free(struct rewriter **wp)
{
	struct rewriter *w = *wp;

	*wp = NULL;
	if (!w || --w->owners > 0)
		return;
	match_list_close(&w->exceptions);
	router_free(&w->router);
	free(w);
}

struct router *rewriter_router(struct rewriter *w)
{
	return w->router;
}

/* --- what tables say --- */

void rewrite_list_add(const struct rewrite *rw, struct rewrite_list *list, struct slice address)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 8;
		struct slice *bigger = arena_alloc(rw->arena, room * sizeof(*bigger));

		if (list->count)
			memcpy(bigger, list->address, list->count * sizeof(*bigger));
		list->address = bigger;
		list->room = room;
	}
	list->address[list->count++] = address;
}

static struct slice with_extension(struct slice address, struct slice extension, struct arena *arena)
{
	struct slice local, domain;

	if (extension.len == 0)
		return address;
	address_split(address, &local, &domain);
	return slice_of(slice_rfind(address, '@') < 0 ?
				arena_printf(arena, "%.*s%.*s", SLICE_FMT(local), SLICE_FMT(extension)) :
				arena_printf(arena, "%.*s%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(extension),
					     SLICE_FMT(domain)));
}

/* "@new" behind the local part that the address had. */
static struct slice with_local_part(struct slice from, struct slice value, struct arena *arena)
{
	struct slice local, domain, quoted;

	address_split(from, &local, &domain);
	quoted = address_quote(arena, slice_of(arena_printf(arena, "%.*s@x", SLICE_FMT(local))));
	return slice_of(arena_printf(arena, "%.*s%.*s", (int)(quoted.len - 2), quoted.ptr, SLICE_FMT(value)));
}

void rewrite_crunch(const struct rewrite *rw, const struct rewrite_result *r, struct rewrite_list *list)
{
	struct address_scan scan = { .rest = r->value };
	struct address_place place;
	int found;

	if (r->value.len > 1 && r->value.ptr[0] == '@')
		scan.rest = with_local_part(r->from, r->value, rw->arena);
	while ((found = address_scan_next(&scan, rw->arena, &place)) > 0) {
		struct slice address = form_address(&rw->rewriter->local, place.address, place.quoted, rw->arena);

		if (address.len > 0)
			rewrite_list_add(rw, list, with_extension(address, r->extension, rw->arena));
	}
	if (found < 0)
		log_warning("malformed addresses in a table's result for %.*s: \"%.*s\"", SLICE_FMT(r->from),
			    SLICE_FMT(r->value));
}

/* --- canonical --- */

/* Once and again, until nothing is found or it stands for itself. */
static bool map_one(const struct rewrite *rw, enum router_map map, struct slice *address, struct err *err)
{
	struct router *r = rw->rewriter->router;

	for (int depth = 0; depth < CANONICAL_DEPTH; depth++) {
		struct router_find find = { .address = *address, .forms = FIND_ADDRESS };
		struct rewrite_list all = { 0 };
		enum table_result found = router_find(r, map, &find, rw->arena, err);

		if (found != TABLE_FOUND)
			return found == TABLE_NOT_FOUND;
		rewrite_crunch(rw, &(struct rewrite_result){ find.value, *address,
				       rw->rewriter->carry_canonical ? find.extension : SLICE_NONE }, &all);
		if (all.count == 0)
			return true;
		if (all.count > 1)
			log_warning("%s: more than one address for %.*s: the first counts", router_map_name(r, map),
				    SLICE_FMT(*address));
		if (slice_eq_nocase(all.address[0], *address)) {
			*address = all.address[0];
			return true;
		}
		router_tell_found(r, map, &find, all.address, 1);
		*address = all.address[0];
	}
	log_warning("%s: unreasonable nesting for %.*s", router_map_name(r, map), SLICE_FMT(*address));
	return true;
}

static bool masquerade(const struct rewrite *rw, struct slice *address, struct err *err)
{
	struct rewriter *w = rw->rewriter;
	struct slice local, domain, from = *address;
	enum table_result excepted;

	address_split(*address, &local, &domain);
	if (domain.len == 0)
		return true;
	excepted = match_list_test(w->exceptions, local, err);
	if (excepted != TABLE_NOT_FOUND)
		return excepted == TABLE_FOUND;
	for (size_t i = 0; i < w->domain_count; i++) {
		struct slice parent = w->domains[i].domain;

		if (slice_eq_nocase(domain, parent))
			break;
		if (domain.len <= parent.len || !slice_ends_nocase(domain, parent) ||
		    domain.ptr[domain.len - parent.len - 1] != '.')
			continue;
		if (!w->domains[i].keep) {
			*address = slice_of(arena_printf(rw->arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(parent)));
			router_tell(w->router, "masquerade_domains", from, *address);
		}
		break;
	}
	return true;
}

bool rewrite_address(const struct rewrite *rw, const struct rewrite_input *in, struct slice *result, struct err *err)
{
	struct rewriter *w = rw->rewriter;
	bool sender = in->place & (REWRITE_ENVELOPE_SENDER | REWRITE_HEADER_SENDER);
	unsigned own = sender ? w->sender_canonical : w->recipient_canonical;

	*result = form_address(rw->remote ? &w->remote : &w->local, in->address, in->literal, rw->arena);
	if (!slice_eq(*result, in->address))
		router_tell(w->router, "address form", in->address, *result);
	if (rw->form_only || result->len == 0)
		return true;
	if (own & in->place && !map_one(rw, sender ? MAP_SENDER_CANONICAL : MAP_RECIPIENT_CANONICAL, result, err))
		return false;
	if (w->canonical & in->place && !map_one(rw, MAP_CANONICAL, result, err))
		return false;
	return !(w->masquerade & in->place) || w->domain_count == 0 || masquerade(rw, result, err);
}

/* --- aliases --- */

/* Addresses that stand for themselves too: found in expected constant time. */
struct settled {
	struct rewrite_list list;
	uint32_t *table;           /* place + 1 */
	size_t size;
};

static size_t settled_at(const struct settled *s, struct slice address)
{
	size_t at = slice_hash_nocase(address) & (s->size - 1);

	while (s->table[at] && !slice_eq_nocase(s->list.address[s->table[at] - 1], address))
		at = (at + 1) & (s->size - 1);
	return at;
}

static bool is_settled(const struct settled *s, struct slice address)
{
	return s->size > 0 && s->table[settled_at(s, address)] != 0;
}

static void settle(const struct rewrite *rw, struct settled *s, struct slice address)
{
	if (is_settled(s, address))
		return;
	if (s->list.count * 2 >= s->size) {
		s->size = s->size ? s->size * 2 : 16;
		s->table = arena_alloc(rw->arena, s->size * sizeof(*s->table));
		for (size_t i = 0; i < s->list.count; i++)
			s->table[settled_at(s, s->list.address[i])] = (uint32_t)i + 1;
	}
	rewrite_list_add(rw, &s->list, address);
	size_t at = slice_hash_nocase(address) & (s->size - 1);

	while (s->table[at])
		at = (at + 1) & (s->size - 1);
	s->table[at] = (uint32_t)s->list.count;
}

static bool too_much(struct err *err, const char *what, struct slice recipient)
{
	log_warning("unreasonable virtual_alias_maps %s for %.*s -- message not accepted, try again later", what,
		    SLICE_FMT(recipient));
	return err_set(err, ERR_LIMIT, "Alias expansion error");
}

/* One step for the member at `at` of the list: TABLE_FOUND when it has become something else. */
static enum table_result expand_member(const struct rewrite *rw, struct settled *settled, struct rewrite_list *list,
				       size_t at, struct err *err)
{
	struct rewriter *w = rw->rewriter;
	struct slice from = list->address[at];
	struct router_find find = { .address = from, .forms = FIND_ADDRESS };
	struct rewrite_list members = { 0 };
	enum table_result found = router_find(w->router, MAP_VIRTUAL_ALIAS, &find, rw->arena, err);

	if (found != TABLE_FOUND)
		return found;
	rewrite_crunch(rw, &(struct rewrite_result){ find.value, from,
						     w->carry_alias ? find.extension : SLICE_NONE }, &members);
	if (members.count == 0)
		return TABLE_NOT_FOUND;
	router_tell_found(w->router, MAP_VIRTUAL_ALIAS, &find, members.address, members.count);
	for (size_t i = 0; i < members.count; i++) {
		if (members.address[i].len > w->length_limit) {
			too_much(err, "result length", from);
			return TABLE_ERROR;
		}
		/* An address may expand into itself once. */
		if (slice_eq_nocase(members.address[i], from))
			settle(rw, settled, from);
		if (i == 0)
			list->address[at] = members.address[i];
		else
			rewrite_list_add(rw, list, members.address[i]);
	}
	return TABLE_FOUND;
}

bool rewrite_aliases(const struct rewrite *rw, struct slice recipient, struct rewrite_list *list, struct err *err)
{
	struct rewriter *w = rw->rewriter;
	struct rewrite_list all = { 0 };
	struct settled settled = { 0 };

	rewrite_list_add(rw, &all, recipient);
	for (size_t at = 0; !rw->form_only && at < all.count; at++) {
		enum table_result found = TABLE_FOUND;

		if (all.count > w->expansion_limit)
			return too_much(err, "expansion size", recipient);
		for (size_t depth = 0; found == TABLE_FOUND && !is_settled(&settled, all.address[at]); depth++) {
			if (depth >= w->recursion_limit)
				return too_much(err, "nesting", recipient);
			found = expand_member(rw, &settled, &all, at, err);
		}
		if (found == TABLE_ERROR)
			return false;
	}
	for (size_t at = 0; at < all.count; at++)
		rewrite_list_add(rw, list, all.address[at]);
	return true;
}

/* --- copies --- */

static bool copies(const struct rewrite *rw, enum router_map map, struct slice address, struct rewrite_list *list,
		   struct err *err)
{
	struct router *r = rw->rewriter->router;
	struct router_find find = { .address = address, .forms = FIND_ADDRESS };
	enum table_result found = address.len > 0 ? router_find(r, map, &find, rw->arena, err) : TABLE_NOT_FOUND;

	if (found == TABLE_FOUND) {
		size_t before = list->count;

		rewrite_crunch(rw, &(struct rewrite_result){ find.value, address, SLICE_NONE }, list);
		router_tell_found(r, map, &find, list->address + before, list->count - before);
	}
	return found != TABLE_ERROR;
}

bool rewrite_sender_bcc(const struct rewrite *rw, struct slice sender, struct rewrite_list *list, struct err *err)
{
	return copies(rw, MAP_SENDER_BCC, sender, list, err);
}

bool rewrite_recipient_bcc(const struct rewrite *rw, struct slice recipient, struct rewrite_list *list,
			   struct err *err)
{
	return copies(rw, MAP_RECIPIENT_BCC, recipient, list, err);
}
