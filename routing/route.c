/* SPDX-License-Identifier: ISC */
/* From a recipient to class, transport and next hop: the order is that of trivial-rewrite(8). */
#include "common/base/log.h"
#include "common/mail/address.h"
#include "routing/router.h"

#define ROUTED_DEPTH 100

static struct slice in_form(const struct form_style *style, struct slice address, struct arena *arena)
{
	ptrdiff_t at = slice_rfind(address, '@');
	bool literal = form_is_text(at < 0 ? address : slice_sub(address, 0, (size_t)at));

	return form_address(style, address, literal, arena);
}

struct slice router_canonical(struct router *r, struct slice address, struct arena *arena)
{
	return in_form(&r->form, address, arena);
}

/* --- the domain that decides --- */

static bool is_numeric(struct slice domain)
{
	for (size_t i = 0; i < domain.len; i++)
		if (domain.ptr[i] != '.' && (domain.ptr[i] < '0' || domain.ptr[i] > '9'))
			return false;
	return true;
}

static struct slice join(struct slice local, struct slice domain, struct arena *arena)
{
	return slice_of(arena_printf(arena, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain)));
}

static struct slice without_dot(struct slice address)
{
	size_t len = address.len;

	if (len > 2 && address.ptr[len - 1] == '.' && address.ptr[len - 2] != '.' && address.ptr[len - 2] != '@' &&
	    slice_find(address, '@') >= 0)
		len--;
	return slice_sub(address, 0, len);
}

/*
 * Takes our own domains off the end, and follows what the local part says then (user%far@here).  *far:
 * what is left has another domain; else it stands for a local user, and `domain` is ours.
 */
static bool strip_own_domains(struct router *r, struct slice *address, struct slice *domain, bool *far,
			      struct arena *arena, struct err *err)
{
	struct slice at = without_dot(*address), own = SLICE_NONE, local;

	*far = false;
	for (int depth = 0; depth < ROUTED_DEPTH; depth++) {
		at = without_dot(at);
		if (slice_rfind(at, '@') >= 0) {
			address_split(at, &local, domain);
			if (domain->len > 0 || !r->null_domain) {
				enum table_result ours = domain->len > 0 ? router_is_local_domain(r, *domain, err) :
									   TABLE_NOT_FOUND;

				if (ours == TABLE_ERROR)
					return false;
				if (ours == TABLE_NOT_FOUND) {
					*far = true;
					*address = at;
					return true;
				}
				own = *domain;
			}
			at = local;
		}
		if (form_is_route(&r->form, at) && (r->dequoted || !form_is_text(at))) {
			at = form_address(&r->form, at, false, arena);
			own = SLICE_NONE;
			continue;
		}
		if (at.len > 0)
			break;
		at = slice_of(config_text(r->config, "empty_address_recipient"));
	}
	*domain = own.len > 0 ? own : r->myhostname;
	*address = join(at, *domain, arena);
	return true;
}

/* --- class, transport, next hop --- */

/* Of a parameter: "transport:nexthop", "transport"; without a next hop it keeps its value. */
static bool set_transport(struct route *route, const char *parameter, struct slice value, struct err *err)
{
	struct slice transport;

	slice_cut(&value, ':', &transport);
	if (transport.len == 0)
		return err_set(err, ERR_TEMPORARY, "%s: a transport without a name", parameter);
	route->transport = transport;
	if (value.len > 0)
		route->nexthop = value;
	return true;
}

static bool use_parameter(struct router *r, struct route *route, const char *parameter, const char *of_probes,
			  struct err *err)
{
	const char *name = r->purpose == ROUTER_PROBES ? of_probes : parameter;

	return set_transport(route, name, slice_of(config_text(r->config, name)), err);
}

/* By the sender, in one of the two tables for that.  TABLE_NOT_FOUND also where it says DUNNO. */
static enum table_result find_by_sender(struct router *r, enum router_map map, struct slice sender,
					struct arena *arena, struct router_find *find, struct err *err)
{
	static const char *const null_key[] = {
		[MAP_SENDER_TRANSPORT] = "empty_address_default_transport_maps_lookup_key",
		[MAP_SENDER_RELAYHOST] = "empty_address_relayhost_maps_lookup_key",
	};
	enum table_result result;

	*find = (struct router_find){ .address = sender.len ? sender : slice_of(config_text(r->config, null_key[map])),
				      .forms = FIND_ADDRESS };
	result = router_find(r, map, find, arena, err);
	if (result != TABLE_FOUND)
		return result;
	if (find->value.len == 0)
		log_warning("%s: ignoring null lookup result for \"%.*s\"", router_map_name(r, map),
			    SLICE_FMT(find->address));
	if (find->value.len == 0 || slice_eq_nocase(find->value, SLICE("DUNNO")))
		return TABLE_NOT_FOUND;
	router_tell_found(r, map, find, &find->value, 1);
	return TABLE_FOUND;
}

/* relay_domains and all the rest: relayhost may stand before the domain. */
static bool go_out(struct router *r, struct slice sender, struct arena *arena, struct route *route, struct err *err)
{
	const char *relayhost = r->purpose == ROUTER_PROBES ? "address_verify_relayhost" : "relayhost";
	enum table_result result = TABLE_NOT_FOUND;
	struct router_find transport = { 0 }, relay;

	if (route->class_ == ROUTE_DEFAULT)
		result = find_by_sender(r, MAP_SENDER_TRANSPORT, sender, arena, &transport, err);
	if (result == TABLE_ERROR)
		return false;
	bool by_sender = result == TABLE_FOUND;

	result = find_by_sender(r, MAP_SENDER_RELAYHOST, sender, arena, &relay, err);
	if (result == TABLE_ERROR)
		return false;
	if (result == TABLE_FOUND) {
		route->nexthop = relay.value;
	} else if (config_text(r->config, relayhost)[0]) {
		route->nexthop = slice_of(config_text(r->config, relayhost));
		router_tell(r, relayhost, route->address, route->nexthop);
	}
	if (by_sender)
		return set_transport(route, router_map_name(r, MAP_SENDER_TRANSPORT), transport.value, err);
	if (route->class_ == ROUTE_RELAY)
		return use_parameter(r, route, "relay_transport", "address_verify_relay_transport", err);
	return use_parameter(r, route, "default_transport", "address_verify_default_transport", err);
}

static bool classify(struct router *r, struct slice domain, bool far, struct route *route, struct err *err)
{
	static const enum route_class class_of[] = { [LIST_VIRTUAL_ALIAS] = ROUTE_VIRTUAL_ALIAS,
						     [LIST_VIRTUAL_MAILBOX] = ROUTE_VIRTUAL_MAILBOX,
						     [LIST_RELAY] = ROUTE_RELAY };

	route->nexthop = domain;
	route->class_ = far ? ROUTE_DEFAULT : ROUTE_LOCAL;
	if (!far)
		router_tell(r, "mydestination", domain, SLICE("local"));
	for (size_t i = LIST_VIRTUAL_ALIAS; far && i < LIST_COUNT; i++) {
		enum table_result result = match_list_test(r->list[i], domain, err);

		if (result == TABLE_ERROR)
			return false;
		if (result == TABLE_NOT_FOUND)
			continue;
		route->class_ = class_of[i];
		router_tell(r, i == LIST_VIRTUAL_ALIAS ? "virtual_alias_domains" :
			       i == LIST_VIRTUAL_MAILBOX ? "virtual_mailbox_domains" : "relay_domains",
			    domain, i == LIST_RELAY ? SLICE("relay") : SLICE("virtual"));
		break;
	}
	return true;
}

static bool choose_transport(struct router *r, struct slice sender, struct arena *arena, struct route *route,
			     struct err *err)
{
	switch (route->class_) {
	case ROUTE_LOCAL:
		return use_parameter(r, route, "local_transport", "address_verify_local_transport", err);
	case ROUTE_VIRTUAL_ALIAS:
		route->transport = SLICE("error");
		route->nexthop = config_bool(r->config, "show_user_unknown_table_name") ?
					 SLICE("5.1.1 User unknown in virtual alias table") :
					 SLICE("5.1.1 User unknown");
		return true;
	case ROUTE_VIRTUAL_MAILBOX:
		return use_parameter(r, route, "virtual_transport", "address_verify_virtual_transport", err);
	case ROUTE_RELAY:
	case ROUTE_DEFAULT:
		break;
	}
	return go_out(r, sender, arena, route, err);
}

/* transport(5): ":" keeps all, ":nexthop" the transport, "transport" goes to the recipient's domain. */
static void apply_transport(struct route *route, struct slice value, struct slice domain)
{
	struct slice transport;

	slice_cut(&value, ':', &transport);
	if (transport.len > 0)
		route->transport = transport;
	if (value.len > 0)
		route->nexthop = value;
	else if (slice_eq(transport, SLICE("error")) || slice_eq(transport, SLICE("retry")))
		route->nexthop = SLICE("Address is undeliverable");
	else if (transport.len > 0)
		route->nexthop = domain;
}

static bool use_transport_maps(struct router *r, struct slice domain, struct arena *arena, struct route *route,
			       struct err *err)
{
	struct router_find find = { .address = route->address, .forms = FIND_DOMAIN };
	enum table_result result = router_find(r, MAP_TRANSPORT, &find, arena, err);

	if (result == TABLE_NOT_FOUND && r->map[MAP_TRANSPORT] && !table_list_empty(r->map[MAP_TRANSPORT])) {
		struct table_question any = { .key = SLICE("*"), .partial = true };

		result = table_list_ask(r->map[MAP_TRANSPORT], &any, arena, err);
		find.value = slice_trim(any.value);
		find.key = any.key;
		find.table = any.table;
	}
	if (result == TABLE_FOUND) {
		apply_transport(route, find.value, domain);
		router_tell_found(r, MAP_TRANSPORT, &find, &find.value, 1);
	}
	return result != TABLE_ERROR;
}

static bool use_relocated(struct router *r, struct arena *arena, struct route *route, struct err *err)
{
	struct router_find find = { .address = route->address, .forms = FIND_ADDRESS };
	enum table_result result = router_find(r, MAP_RELOCATED, &find, arena, err);

	if (result == TABLE_FOUND) {
		route->transport = SLICE("error");
		route->nexthop = slice_of(arena_printf(arena, "5.1.6 User has moved to %.*s", SLICE_FMT(find.value)));
		router_tell_found(r, MAP_RELOCATED, &find, &find.value, 1);
	}
	return result != TABLE_ERROR;
}

static bool is_valid(struct router *r, struct slice address, struct slice domain)
{
	if (domain.len == 0 || (address.ptr[0] == '-' && !r->min_user))
		return false;
	if (domain.ptr[0] == '[')
		return address_valid_literal(domain);
	return address_valid_hostname(domain) && !is_numeric(domain);
}

bool router_valid_address(struct router *r, struct slice address)
{
	struct slice local, domain;

	address_split(address, &local, &domain);
	if (domain.len == 0)
		return address.len == 0 || address.ptr[0] != '-' || r->min_user;
	return is_valid(r, address, domain) || (r->numeric_domain && is_numeric(domain));
}

static void refuse(struct route *route)
{
	route->class_ = ROUTE_DEFAULT;
	route->invalid = true;
	route->transport = SLICE("error");
	route->nexthop = SLICE("5.1.3 bad address syntax");
}

/* user@1.2.3.4 means user@[1.2.3.4] to those who ask for it. */
static void bracket_number(struct router *r, struct slice *domain, struct route *route, struct arena *arena)
{
	struct slice literal, local, ignored;

	if (!r->numeric_domain || domain->len == 0 || !is_numeric(*domain))
		return;
	literal = slice_of(arena_printf(arena, "[%.*s]", SLICE_FMT(*domain)));
	if (!address_valid_literal(literal))
		return;
	address_split(route->address, &local, &ignored);
	*domain = literal;
	route->address = join(local, literal, arena);
}

bool router_resolve(struct router *r, struct slice recipient, struct slice sender, struct arena *arena,
		    struct route *route, struct err *err)
{
	struct slice local, domain;
	bool far;

	*route = (struct route){ 0 };
	route->address = in_form(&r->here, recipient, arena);
	if (!strip_own_domains(r, &route->address, &domain, &far, arena, err))
		return false;
	bracket_number(r, &domain, route, arena);
	if (!slice_eq(route->address, recipient))
		router_tell(r, "address form", recipient, route->address);
	address_split(route->address, &local, &domain);
	if (!is_valid(r, route->address, domain)) {
		refuse(route);
		return true;
	}
	if (far && !r->untrusted_routing && form_is_route(&r->form, local) && (r->dequoted || !form_is_text(local)))
		route->routed = true;
	if (!classify(r, domain, far, route, err) || !choose_transport(r, sender, arena, route, err))
		return false;
	if (route->class_ != ROUTE_VIRTUAL_ALIAS && !use_transport_maps(r, domain, arena, route, err))
		return false;
	return use_relocated(r, arena, route, err);
}

/* --- does the recipient exist? --- */

struct slice route_split_text(struct slice text, const char *fallback, struct slice *dsn)
{
	struct slice rest = text, word;
	size_t dots = 0;

	*dsn = slice_of(fallback);
	if (!slice_word(&rest, " ", &word) || word.len < 5 || word.len > 11 || word.ptr[1] != '.' ||
	    (word.ptr[0] != '4' && word.ptr[0] != '5'))
		return text;
	for (size_t i = 0; i < word.len; i++) {
		if (word.ptr[i] == '.')
			dots++;
		else if (word.ptr[i] < '0' || word.ptr[i] > '9')
			return text;
	}
	if (dots != 2)
		return text;
	*dsn = word;
	return slice_trim(rest);
}

static int is_found(struct router *r, enum router_map map, const struct route *route, struct arena *arena,
		    struct err *err)
{
	struct router_find find = { .address = route->address, .forms = FIND_ADDRESS };

	return (int)router_find(r, map, &find, arena, err);
}

/* Tables that give it another address: whoever that is exists, or will be told of. */
static int is_renamed(struct router *r, const struct route *route, struct arena *arena, struct err *err)
{
	static const enum router_map renaming[] = { MAP_RECIPIENT_CANONICAL, MAP_CANONICAL, MAP_VIRTUAL_ALIAS };
	int found = 0;

	for (size_t i = 0; i < sizeof(renaming) / sizeof(renaming[0]) && found == 0; i++)
		found = is_found(r, renaming[i], route, arena, err);
	return found;
}

/* address_verify_sender, behind whose name stands something that changes. */
static bool is_probe_sender(struct router *r, struct slice local)
{
	struct slice sender = slice_of(config_text(r->config, "address_verify_sender")), name, domain;

	address_split(sender, &name, &domain);
	return config_time(r->config, "address_verify_sender_ttl") > 0 && name.len > 0 && local.len > name.len &&
	       slice_eq_nocase(slice_sub(local, 0, name.len), name) && local.ptr[name.len] == 't';
}

/* Names that exist without a table: the mail system's own. */
static bool is_own_name(struct router *r, const struct route *route)
{
	struct slice local, domain;

	address_split(route->address, &local, &domain);
	return slice_eq_nocase(local, slice_of(config_text(r->config, "double_bounce_sender"))) || is_probe_sender(r, local) ||
	       slice_eq_nocase(local, SLICE("postmaster")) || slice_eq_nocase(local, SLICE("mailer-daemon"));
}

static int refuse_unknown(struct router *r, const char *table, struct arena *arena, struct route_refusal *refusal)
{
	*refusal = (struct route_refusal){ 550, SLICE("5.1.1"), SLICE("User unknown") };
	if (config_bool(r->config, "show_user_unknown_table_name"))
		refusal->text = slice_of(arena_printf(arena, "User unknown in %s table", table));
	return 0;
}

int router_check_recipient(struct router *r, const struct route *route, struct arena *arena,
			   struct route_refusal *refusal, struct err *err)
{
	static const struct {
		enum router_map map;
		const char *table;
	} known[] = {
		[ROUTE_LOCAL] = { MAP_LOCAL_RECIPIENT, "local recipient" },
		[ROUTE_VIRTUAL_MAILBOX] = { MAP_VIRTUAL_MAILBOX, "virtual mailbox" },
		[ROUTE_RELAY] = { MAP_RELAY_RECIPIENT, "relay recipient" },
	};
	int found = is_renamed(r, route, arena, err);

	if (found != 0)
		return found;
	if (slice_eq(route->transport, SLICE("error")) || slice_eq(route->transport, SLICE("retry"))) {
		bool later = slice_eq(route->transport, SLICE("retry"));

		refusal->code = later ? 450 : 550;
		refusal->text = route_split_text(route->nexthop, later ? "4.0.0" : "5.0.0", &refusal->dsn);
		return 0;
	}
	if (route->class_ == ROUTE_DEFAULT || !r->map[known[route->class_].map] ||
	    table_list_empty(r->map[known[route->class_].map]))
		return 1;
	if (route->class_ == ROUTE_LOCAL && is_own_name(r, route))
		return 1;
	found = is_found(r, known[route->class_].map, route, arena, err);
	return found == 0 ? refuse_unknown(r, known[route->class_].table, arena, refusal) : found;
}

int router_recipient_exists(struct router *r, const struct route *route, struct arena *arena, struct err *err)
{
	struct route_refusal refusal;

	return router_check_recipient(r, route, arena, &refusal, err);
}
