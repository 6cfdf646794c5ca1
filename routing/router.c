/* SPDX-License-Identifier: ISC */
/* Opening a router's tables, and looking addresses up in them. */
#include "routing/router.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/str.h"
#include "common/mail/address.h"
#include "routing/networks.h"

static const struct {
	const char *parameter, *of_probes;
	bool rewrites;             /* changes an address; else it tells where one goes, or that it exists */
} maps[MAP_COUNT] = {
	[MAP_TRANSPORT] = { "transport_maps", "address_verify_transport_maps", false },
	[MAP_SENDER_TRANSPORT] = { "sender_dependent_default_transport_maps",
				   "address_verify_sender_dependent_default_transport_maps", false },
	[MAP_SENDER_RELAYHOST] = { "sender_dependent_relayhost_maps",
				   "address_verify_sender_dependent_relayhost_maps", false },
	[MAP_RELOCATED] = { "relocated_maps", NULL, false },
	[MAP_LOCAL_RECIPIENT] = { "local_recipient_maps", NULL, false },
	[MAP_RELAY_RECIPIENT] = { "relay_recipient_maps", NULL, false },
	[MAP_VIRTUAL_MAILBOX] = { "virtual_mailbox_maps", NULL, false },
	[MAP_VIRTUAL_ALIAS] = { "virtual_alias_maps", NULL, true },
	[MAP_CANONICAL] = { "canonical_maps", NULL, true },
	[MAP_SENDER_CANONICAL] = { "sender_canonical_maps", NULL, true },
	[MAP_RECIPIENT_CANONICAL] = { "recipient_canonical_maps", NULL, true },
	[MAP_SENDER_BCC] = { "sender_bcc_maps", NULL, true },
	[MAP_RECIPIENT_BCC] = { "recipient_bcc_maps", NULL, true },
};

static const char *const lists[LIST_COUNT] = {
	[LIST_DESTINATION] = "mydestination", [LIST_VIRTUAL_ALIAS] = "virtual_alias_domains",
	[LIST_VIRTUAL_MAILBOX] = "virtual_mailbox_domains", [LIST_RELAY] = "relay_domains",
};

const char *router_map_name(const struct router *r, enum router_map map)
{
	return r->purpose == ROUTER_PROBES && maps[map].of_probes ? maps[map].of_probes : maps[map].parameter;
}

/* --- opening --- */

static bool parents_match(const struct config *config, const char *parameter)
{
	struct slice names = slice_of(config_text(config, "parent_domain_matches_subdomains")), word;

	while (slice_word(&names, " ,\t\r\n", &word))
		if (slice_eq(word, slice_of(parameter)))
			return true;
	return false;
}

static bool open_lists(struct router *r, struct err *err)
{
	for (size_t i = 0; i < LIST_COUNT; i++) {
		enum match_kind kind = parents_match(r->config, lists[i]) ? MATCH_DOMAIN_PARENT : MATCH_DOMAIN;

		r->list[i] = match_list_open(config_text(r->config, lists[i]), kind, err);
		if (!r->list[i])
			return err_prefix(err, "%s", lists[i]);
	}
	return true;
}

static bool is_wanted(const struct router *r, size_t map)
{
	switch (r->purpose) {
	case ROUTER_DELIVERY:
	case ROUTER_PROBES:
		return map <= MAP_RELOCATED;
	case ROUTER_REWRITE:
		return maps[map].rewrites;
	case ROUTER_ALL:
		break;
	}
	return true;
}

static bool open_maps(struct router *r, struct err *err)
{
	for (size_t i = 0; i < MAP_COUNT; i++) {
		const char *name = router_map_name(r, (enum router_map)i);

		if (!is_wanted(r, i))
			continue;
		r->map[i] = table_list_open(config_text(r->config, name), err);
		if (!r->map[i])
			return err_prefix(err, "%s", name);
	}
	return true;
}

/* What the host tells of itself: asked for before the sandbox closes, and kept. */
static bool read_networks(struct router *r, struct err *err)
{
	if (!networks_of_interfaces(config_text(r->config, "inet_interfaces"), &r->own_text, err) ||
	    !networks_of_interfaces(config_text(r->config, "proxy_interfaces"), &r->own_text, err))
		return false;
	str_append_text(&r->network_text, config_text(r->config, "mynetworks"));
	return r->network_text.len > 0 ||
	       networks_of_style(config_text(r->config, "mynetworks_style"), &r->network_text, err);
}

static bool open_networks(struct router *r, struct err *err)
{
	r->own_addresses = match_list_open(str_cstr(&r->own_text), MATCH_NETWORK, err);
	r->mynetworks = match_list_open(str_cstr(&r->network_text), MATCH_NETWORK, err);
	if (!r->mynetworks)
		err_prefix(err, "mynetworks");
	return r->own_addresses && r->mynetworks;
}

static void read_settings(struct router *r, const struct config *config)
{
	r->config = config;
	form_style_local(&r->form, config);
	r->here = (struct form_style){ .origin = slice_of(config_text(config, "myhostname")), .percent = r->form.percent,
				       .bang = r->form.bang };
	r->delimiter = config_text(config, "recipient_delimiter");
	r->myorigin = slice_of(config_text(config, "myorigin"));
	r->myhostname = slice_of(config_text(config, "myhostname"));
	r->dequoted = config_bool(config, "resolve_dequoted_address");
	r->null_domain = config_bool(config, "resolve_null_domain");
	r->numeric_domain = config_bool(config, "resolve_numeric_domain");
	r->min_user = config_bool(config, "allow_min_user");
	r->untrusted_routing = config_bool(config, "allow_untrusted_routing");
	r->transport_parents = parents_match(config, "transport_maps");
}

struct router *router_create_for(const struct config *config, enum router_purpose purpose, struct err *err)
{
	struct router *r = mem_alloc(sizeof(*r));

	r->purpose = purpose;
	tables_use_config(config);
	read_settings(r, config);
	if (!read_networks(r, err) || !open_networks(r, err) || !open_lists(r, err) || !open_maps(r, err))
		router_free(&r);
	return r;
}

struct router *router_create_again(const struct router *before, struct err *err)
{
	struct router *r = mem_alloc(sizeof(*r));

	r->purpose = before->purpose;
	read_settings(r, before->config);
	str_append(&r->own_text, str_slice(&before->own_text));
	str_append(&r->network_text, str_slice(&before->network_text));
	if (!open_networks(r, err) || !open_lists(r, err) || !open_maps(r, err))
		router_free(&r);
	return r;
}

struct router *router_create(const struct config *config, struct err *err)
{
	return router_create_for(config, ROUTER_ALL, err);
}

struct router *router_create_for_delivery(const struct config *config, struct err *err)
{
	return router_create_for(config, ROUTER_DELIVERY, err);
}

struct router *router_create_for_probes(const struct config *config, struct err *err)
{
	return router_create_for(config, ROUTER_PROBES, err);
}

void router_free(struct router **rp)
{
	struct router *r = *rp;

	if (!r)
		return;
	for (size_t i = 0; i < LIST_COUNT; i++)
		match_list_close(&r->list[i]);
	for (size_t i = 0; i < MAP_COUNT; i++)
		table_list_close(&r->map[i]);
	match_list_close(&r->mynetworks);
	match_list_close(&r->own_addresses);
	str_free(&r->own_text);
	str_free(&r->network_text);
	free(r);
	*rp = NULL;
}

bool router_changed(struct router *r)
{
	for (size_t i = 0; i < LIST_COUNT; i++)
		if (match_list_changed(r->list[i]))
			return true;
	for (size_t i = 0; i < MAP_COUNT; i++)
		if (r->map[i] && table_list_changed(r->map[i]))
			return true;
	return match_list_changed(r->mynetworks);
}

const char *router_unopened(const struct router *r)
{
	const char *name = NULL;

	for (size_t i = 0; i < MAP_COUNT && !name; i++)
		name = r->map[i] ? table_list_unopened(r->map[i]) : NULL;
	return name;
}

/* --- telling --- */

void router_set_trace(struct router *r, const struct trace *trace)
{
	r->trace = trace;
}

void router_tell(const struct router *r, const char *what, struct slice from, struct slice to)
{
	struct trace_step step = { .what = what, .from = from, .to = &to, .count = 1 };

	if (r->trace)
		r->trace->step(r->trace->context, &step);
}

void router_tell_found(const struct router *r, enum router_map map, const struct router_find *find,
		       const struct slice *to, size_t count)
{
	struct trace_step step = { router_map_name(r, map), find->table, find->key, find->address, to, count };

	if (r->trace)
		r->trace->step(r->trace->context, &step);
}

/* --- looking up --- */

int router_is_mynetworks(struct router *r, struct slice name, struct slice address, struct err *err)
{
	return (int)match_list_test_client(r->mynetworks, name, address, err);
}

int router_is_own_address(struct router *r, struct slice address, struct err *err)
{
	return (int)match_list_test_client(r->own_addresses, SLICE_NONE, address, err);
}

enum table_result router_is_local_domain(struct router *r, struct slice domain, struct err *err)
{
	enum table_result result = match_list_test(r->list[LIST_DESTINATION], domain, err);

	if (result != TABLE_NOT_FOUND || domain.len == 0 || domain.ptr[0] != '[')
		return result;
	return match_list_test_client(r->own_addresses, SLICE_NONE, domain, err);
}

struct asking {
	struct router *r;
	struct table_list *map;
	struct router_find *find;
	struct arena *arena;
	struct err *err;
};

static enum table_result ask(struct asking *a, struct slice key, bool partial)
{
	struct table_question q = { .key = key, .partial = partial };
	enum table_result result = table_list_ask(a->map, &q, a->arena, a->err);

	if (result == TABLE_FOUND) {
		a->find->value = slice_trim(q.value);
		a->find->key = key;
		a->find->table = q.table;
	}
	return result;
}

/* An address as tables have it: quoted where it must be; without quotes for those who wrote it so. */
static enum table_result ask_address(struct asking *a, struct slice address, bool partial)
{
	struct slice quoted = address_quote(a->arena, address);
	enum table_result result = ask(a, quoted, partial);

	if (result == TABLE_NOT_FOUND && !slice_eq(quoted, address))
		result = ask(a, address, partial);
	return result;
}

static struct slice join(struct arena *arena, struct slice local, struct slice domain)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

/* "domain", then what is above it: ".parent", or "parent" where that stands for its subdomains. */
static enum table_result ask_domain(struct asking *a, struct slice domain)
{
	enum table_result result = ask(a, domain, true);
	ptrdiff_t dot;

	while (result == TABLE_NOT_FOUND && domain.len > 1 &&
	       (dot = slice_find(slice_sub(domain, 1, domain.len), '.')) >= 0) {
		domain = slice_sub(domain, (size_t)dot + 1, domain.len);
		if (a->r->transport_parents)
			result = ask(a, slice_sub(domain, 1, domain.len), true);
		else
			result = ask(a, domain, true);
	}
	return result;
}

/* Are names without a domain of this address ours to look up? */
static enum table_result has_local_part(struct router *r, struct slice address, struct slice domain, struct err *err)
{
	if (slice_find(address, '@') < 0 || slice_eq_nocase(domain, r->myorigin))
		return TABLE_FOUND;
	return router_is_local_domain(r, domain, err);
}

enum table_result router_find(struct router *r, enum router_map map, struct router_find *find, struct arena *arena,
			      struct err *err)
{
	struct asking a = { r, r->map[map], find, arena, err };
	struct slice local, domain, user, extension;
	enum table_result result, ours = TABLE_NOT_FOUND;
	bool extended;

	find->extension = find->key = find->value = SLICE_NONE;
	if (!a.map || table_list_empty(a.map))
		return TABLE_NOT_FOUND;
	address_split(find->address, &local, &domain);
	extended = address_split_extension(local, r->delimiter, &user, &extension);
	result = ask_address(&a, find->address, false);
	if (result != TABLE_NOT_FOUND)
		return result;
	if (extended)
		extension = slice_sub(local, user.len, local.len); /* with its delimiter */
	if (extended && domain.len > 0 &&
	    (result = ask_address(&a, join(arena, user, domain), true)) != TABLE_NOT_FOUND) {
		find->extension = extension;
		return result;
	}
	if (find->forms & FIND_LOCAL_PART && (ours = has_local_part(r, find->address, domain, err)) == TABLE_ERROR)
		return TABLE_ERROR;
	if (ours == TABLE_FOUND && (result = ask(&a, local, true)) != TABLE_NOT_FOUND)
		return result;
	if (ours == TABLE_FOUND && extended && (result = ask(&a, user, true)) != TABLE_NOT_FOUND) {
		find->extension = extension;
		return result;
	}
	if (find->forms & FIND_AT_DOMAIN && domain.len > 0 &&
	    (result = ask(&a, join(arena, SLICE(""), domain), true)) != TABLE_NOT_FOUND)
		return result; /* "@new" takes the whole local part over; an extension would come twice */
	return find->forms & FIND_DOMAIN && domain.len > 0 ? ask_domain(&a, domain) : TABLE_NOT_FOUND;
}
