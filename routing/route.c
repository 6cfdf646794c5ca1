/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "common/base/str.h"
#include "common/mail/address.h"
#include "routing/networks.h"
#include "routing/route.h"
#include "tables/table.h"

#define ROUTED_DEPTH 10

struct router {
	const struct config *config;
	struct match_list *mydestination, *virtual_alias_domains, *virtual_mailbox_domains;
	struct match_list *relay_domains, *mynetworks, *own_addresses;
	struct table_list *transport_maps, *local_recipient_maps, *relay_recipient_maps;
	struct table_list *virtual_alias_maps, *virtual_mailbox_maps;
	struct table_address_style style;
	bool percent_hack, bangpath;
};

/* --- opening --- */

static struct match_list *open_list(const struct config *config, const char *parameter,
				    enum match_kind kind, struct err *err)
{
	struct match_list *list = match_list_open(config_text(config, parameter), kind, err);

	if (!list)
		err_prefix(err, "%s", parameter);
	return list;
}

static struct table_list *open_tables(const struct config *config, const char *parameter, struct err *err)
{
	struct table_list *list = table_list_open(config_text(config, parameter), err);

	if (!list)
		err_prefix(err, "%s", parameter);
	return list;
}

static bool open_networks(struct router *r, struct err *err)
{
	struct str text = { 0 };
	bool ok = networks_own_addresses(&text, err);

	if (ok) {
		r->own_addresses = match_list_open(str_cstr(&text), MATCH_NETWORK, err);
		str_clear(&text);
		str_append_text(&text, config_text(r->config, "mynetworks"));
		if (text.len == 0)
			ok = networks_of_style(config_text(r->config, "mynetworks_style"), &text, err);
	}
	if (ok) {
		r->mynetworks = match_list_open(str_cstr(&text), MATCH_NETWORK, err);
		if (!r->mynetworks)
			err_prefix(err, "mynetworks");
	}
	str_free(&text);
	return r->own_addresses && r->mynetworks;
}

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
	const struct config *c = r->config;
	enum match_kind relay = parents_match(c, "relay_domains") ? MATCH_DOMAIN_PARENT : MATCH_DOMAIN;

	return (r->mydestination = open_list(c, "mydestination", MATCH_DOMAIN, err)) &&
	       (r->virtual_alias_domains = open_list(c, "virtual_alias_domains", MATCH_DOMAIN, err)) &&
	       (r->virtual_mailbox_domains = open_list(c, "virtual_mailbox_domains", MATCH_DOMAIN, err)) &&
	       (r->relay_domains = open_list(c, "relay_domains", relay, err)) &&
	       (r->transport_maps = open_tables(c, "transport_maps", err)) &&
	       (r->local_recipient_maps = open_tables(c, "local_recipient_maps", err)) &&
	       (r->relay_recipient_maps = open_tables(c, "relay_recipient_maps", err)) &&
	       (r->virtual_alias_maps = open_tables(c, "virtual_alias_maps", err)) &&
	       (r->virtual_mailbox_maps = open_tables(c, "virtual_mailbox_maps", err)) &&
	       open_networks(r, err);
}

struct router *router_create(const struct config *config, struct err *err)
{
	struct router *r = mem_alloc(sizeof(*r));

	r->config = config;
	tables_use_config(config);
	r->style = (struct table_address_style){ config_text(config, "recipient_delimiter"), false, true };
	r->percent_hack = config_bool(config, "allow_percent_hack");
	r->bangpath = config_bool(config, "swap_bangpath");
	if (!open_lists(r, err))
		router_free(&r);
	return r;
}

void router_free(struct router **rp)
{
	struct router *r = *rp;

	if (!r)
		return;
	match_list_close(&r->mydestination);
	match_list_close(&r->virtual_alias_domains);
	match_list_close(&r->virtual_mailbox_domains);
	match_list_close(&r->relay_domains);
	match_list_close(&r->mynetworks);
	match_list_close(&r->own_addresses);
	table_list_close(&r->transport_maps);
	table_list_close(&r->local_recipient_maps);
	table_list_close(&r->relay_recipient_maps);
	table_list_close(&r->virtual_alias_maps);
	table_list_close(&r->virtual_mailbox_maps);
	free(r);
	*rp = NULL;
}

bool router_changed(struct router *r)
{
	return match_list_changed(r->mydestination) || match_list_changed(r->virtual_alias_domains) ||
	       match_list_changed(r->virtual_mailbox_domains) || match_list_changed(r->relay_domains) ||
	       match_list_changed(r->mynetworks) || table_list_changed(r->transport_maps) ||
	       table_list_changed(r->local_recipient_maps) ||
	       table_list_changed(r->relay_recipient_maps) ||
	       table_list_changed(r->virtual_alias_maps) || table_list_changed(r->virtual_mailbox_maps);
}

/* --- the canonical form --- */

static struct slice lower(struct slice text, struct arena *arena)
{
	char *copy = arena_cstr(arena, text);

	for (size_t i = 0; i < text.len; i++)
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] + ('a' - 'A'));
	return slice_make(copy, text.len);
}

static struct slice join(struct slice local, struct slice domain, struct arena *arena)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

/* "site!user" or "user%site" without '@': the way it asks for, as an address; else empty. */
static struct slice explicit_route(const struct router *r, struct slice local, struct arena *arena)
{
	ptrdiff_t at = slice_find(local, '!');

	if (r->bangpath && at > 0)
		return join(slice_sub(local, (size_t)at + 1, local.len), slice_sub(local, 0, (size_t)at), arena);
	at = slice_rfind(local, '%');
	if (r->percent_hack && at > 0)
		return join(slice_sub(local, 0, (size_t)at), slice_sub(local, (size_t)at + 1, local.len), arena);
	return SLICE_NONE;
}

struct slice router_canonical(struct router *r, struct slice address, struct arena *arena)
{
	struct slice local, domain;

	if (address.len == 0)
		return address;
	address_split(address, &local, &domain);
	if (domain.len == 0) {
		struct slice route = explicit_route(r, local, arena);

		if (route.len > 0)
			address_split(route, &local, &domain);
		else if (config_bool(r->config, "append_at_myorigin"))
			domain = slice_of(config_text(r->config, "myorigin"));
		else
			return arena_slice(arena, local);
	}
	while (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
		domain = slice_sub(domain, 0, domain.len - 1);
	if (slice_find(domain, '.') < 0 && domain.ptr[0] != '[' &&
	    config_bool(r->config, "append_dot_mydomain") &&
	    !slice_eq_nocase(domain, SLICE("localhost")))
		domain = slice_of(arena_printf(arena, "%.*s.%s", SLICE_FMT(domain),
					       config_text(r->config, "mydomain")));
	return join(local, lower(domain, arena), arena);
}

/* --- class, transport, next hop --- */

static enum table_result is_local_domain(struct router *r, struct slice domain, struct err *err)
{
	enum table_result result = match_list_test(r->mydestination, domain, err);

	if (result != TABLE_NOT_FOUND || domain.len == 0 || domain.ptr[0] != '[')
		return result;
	return match_list_test_client(r->own_addresses, SLICE_NONE, domain, err);
}

/* "transport:nexthop", "transport", ":nexthop": what is empty keeps its value. */
static void apply_transport(struct route *route, struct slice value)
{
	struct slice transport;

	slice_cut(&value, ':', &transport);
	if (transport.len > 0)
		route->transport = transport;
	if (value.len > 0)
		route->nexthop = value;
}

static void set_from_parameter(struct router *r, struct route *route, const char *parameter)
{
	apply_transport(route, slice_of(config_text(r->config, parameter)));
}

static bool classify(struct router *r, struct slice domain, struct route *route, struct err *err)
{
	const char *relayhost = config_text(r->config, "relayhost");
	enum table_result result;

	route->nexthop = domain;
	if ((result = is_local_domain(r, domain, err)) == TABLE_FOUND) {
		route->class_ = ROUTE_LOCAL;
		set_from_parameter(r, route, "local_transport");
		return true;
	}
	if (result == TABLE_NOT_FOUND &&
	    (result = match_list_test(r->virtual_alias_domains, domain, err)) == TABLE_FOUND) {
		route->class_ = ROUTE_VIRTUAL_ALIAS;
		route->transport = SLICE("error");
		route->nexthop = SLICE("5.1.1 User unknown in virtual alias table");
		return true;
	}
	if (result == TABLE_NOT_FOUND &&
	    (result = match_list_test(r->virtual_mailbox_domains, domain, err)) == TABLE_FOUND) {
		route->class_ = ROUTE_VIRTUAL_MAILBOX;
		set_from_parameter(r, route, "virtual_transport");
		return true;
	}
	if (result == TABLE_NOT_FOUND)
		result = match_list_test(r->relay_domains, domain, err);
	if (result == TABLE_ERROR)
		return false;
	if (*relayhost)
		route->nexthop = slice_of(relayhost);
	route->class_ = result == TABLE_FOUND ? ROUTE_RELAY : ROUTE_DEFAULT;
	set_from_parameter(r, route, result == TABLE_FOUND ? "relay_transport" : "default_transport");
	return true;
}

/* transport(5): the address, the domain, its parents with a leading dot, "*". */
static enum table_result find_transport(struct router *r, struct slice address, struct slice domain,
					struct arena *arena, struct slice *value, struct err *err)
{
	enum table_result result =
		table_list_lookup_address(r->transport_maps, address,
					  &(struct table_address_style){ r->style.recipient_delimiter, false, false },
					  arena, value, err);
	ptrdiff_t dot = 0;

	if (result == TABLE_NOT_FOUND)
		result = table_list_lookup(r->transport_maps, domain, arena, value, err);
	while (result == TABLE_NOT_FOUND && (dot = slice_find(slice_sub(domain, 1, domain.len), '.')) >= 0) {
		domain = slice_sub(domain, (size_t)dot + 1, domain.len);
		result = table_list_lookup(r->transport_maps, domain, arena, value, err);
	}
	if (result == TABLE_NOT_FOUND)
		result = table_list_lookup(r->transport_maps, SLICE("*"), arena, value, err);
	return result;
}

/* user%far@here, far!user@here, "user@far"@here: the address behind ours; empty when there is none. */
static struct slice behind(const struct router *r, struct slice local, struct arena *arena)
{
	if (slice_rfind(local, '@') > 0)
		return local;
	return explicit_route(r, local, arena);
}

bool router_resolve(struct router *r, struct slice recipient, struct slice sender, struct arena *arena,
		    struct route *route, struct err *err)
{
	struct slice local, domain, value;
	enum table_result result;

	*route = (struct route){ 0 };
	route->address = router_canonical(r, recipient, arena);
	for (int depth = 0;; depth++) {
		struct slice further;

		address_split(route->address, &local, &domain);
		if (domain.len == 0)
			domain = slice_of(config_text(r->config, "myhostname"));
		if (!classify(r, domain, route, err))
			return false;
		further = route->class_ == ROUTE_LOCAL ? behind(r, local, arena) : SLICE_NONE;
		if (further.len == 0 || depth >= ROUTED_DEPTH)
			break;
		route->routed = true;
		route->address = router_canonical(r, further, arena);
	}
	/* What is left of such a local part must not speak to the next server either. */
	if (slice_find(local, '@') >= 0 || (r->percent_hack && slice_find(local, '%') >= 0) ||
	    (r->bangpath && slice_find(local, '!') >= 0))
		route->routed = true;
	if (table_list_empty(r->transport_maps))
		return true;
	result = find_transport(r, route->address, domain, arena, &value, err);
	if (result == TABLE_FOUND)
		apply_transport(route, value);
	return result != TABLE_ERROR;
}

/* --- does the recipient exist? --- */

static int find_recipient(struct router *r, struct table_list *maps, bool local_parts,
			  const struct route *route, struct arena *arena, struct err *err)
{
	struct table_address_style style = r->style;
	struct slice value;

	style.local_parts = local_parts;
	return (int)table_list_lookup_address(maps, route->address, &style, arena, &value, err);
}

int router_recipient_exists(struct router *r, const struct route *route, struct arena *arena, struct err *err)
{
	struct table_list *maps = NULL;
	bool local = route->class_ == ROUTE_LOCAL;
	int found = 0;

	if (!table_list_empty(r->virtual_alias_maps))
		found = find_recipient(r, r->virtual_alias_maps, local, route, arena, err);
	if (found != 0)
		return found;
	switch (route->class_) {
	case ROUTE_LOCAL:
		maps = r->local_recipient_maps;
		break;
	case ROUTE_VIRTUAL_ALIAS:
		return 0;
	case ROUTE_VIRTUAL_MAILBOX:
		maps = r->virtual_mailbox_maps;
		break;
	case ROUTE_RELAY:
		maps = r->relay_recipient_maps;
		break;
	case ROUTE_DEFAULT:
		return 1;
	}
	if (table_list_empty(maps))
		return 1;
	return find_recipient(r, maps, local, route, arena, err);
}

int router_is_mynetworks(struct router *r, struct slice name, struct slice address, struct err *err)
{
	return (int)match_list_test_client(r->mynetworks, name, address, err);
}
