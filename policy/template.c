/* SPDX-License-Identifier: ISC */
#include "policy/template.h"

#include <stdio.h>
#include <time.h>

#include "common/base/task.h"
#include "common/config/main_cf.h"
#include "common/mail/address.h"

struct expansion {
	const struct policy_facts *facts;
	const struct template_extra *extra;
	const char *server_name;
	struct arena *arena;
};

static const char *part_of(struct expansion *e, struct slice address, struct slice part)
{
	struct slice local, domain;

	address_split(address, &local, &domain);
	if (slice_eq(part, SLICE("_name")))
		return arena_cstr(e->arena, local);
	if (slice_eq(part, SLICE("_domain")))
		return arena_cstr(e->arena, domain);
	return part.len == 0 ? arena_cstr(e->arena, address) : NULL;
}

static const char *local_time(struct expansion *e)
{
	time_t now = (time_t)loop_now();
	struct tm tm;
	char text[64];

	localtime_r(&now, &tm);
	return strftime(text, sizeof(text), "%b %d %H:%M:%S", &tm) ? arena_strdup(e->arena, text) : "";
}

static const char *of_client(struct expansion *e, struct slice name)
{
	const struct policy_client *c = e->facts->client;

	if (slice_eq(name, SLICE("client")))
		return arena_printf(e->arena, "%s[%s]", c->name, c->address);
	if (slice_eq(name, SLICE("client_name")))
		return c->name;
	if (slice_eq(name, SLICE("client_address")))
		return c->address;
	if (slice_eq(name, SLICE("client_port")))
		return c->port;
	if (slice_eq(name, SLICE("reverse_client_name")))
		return c->reverse_name;
	return NULL;
}

static const char *lookup(void *context, struct slice name)
{
	struct expansion *e = context;
	const char *value;

	for (const struct template_extra *x = e->extra; x && x->name; x++)
		if (slice_eq(name, slice_of(x->name)))
			return x->value;
	value = of_client(e, name);
	if (value)
		return value;
	if (slice_starts(name, SLICE("sender")))
		return part_of(e, e->facts->sender, slice_sub(name, 6, name.len));
	if (slice_starts(name, SLICE("recipient")))
		return part_of(e, e->facts->recipient, slice_sub(name, 9, name.len));
	if (slice_eq(name, SLICE("helo_name")))
		return arena_cstr(e->arena, e->facts->helo);
	if (slice_eq(name, SLICE("server_name")))
		return e->server_name;
	if (slice_eq(name, SLICE("localtime")))
		return local_time(e);
	return NULL;
}

bool template_expand(struct str *out, const char *text, const struct policy_facts *facts, const char *server_name,
		     const struct template_extra *extra, struct err *err)
{
	struct expansion e = { facts, extra, server_name, arena_create(0) };
	bool ok = main_cf_expand(slice_of(text), lookup, &e, out, err);

	arena_free(&e.arena);
	return ok;
}
