/* SPDX-License-Identifier: ISC */
#include <pwd.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/mail/address.h"
#include "delivery/local/local.h"
#include "delivery/local/token.h"

#define DEPTH_MAX 20 /* levels: a task's stack is 128 KiB */

static struct slice lower(const struct local_delivery *d, struct slice text)
{
	struct str folded = { 0 };

	str_append_lower(&folded, text);
	text = arena_slice(d->arena, str_slice(&folded));
	str_free(&folded);
	return text;
}

struct local_scope local_scope_below(struct local_delivery *d, const struct local_scope *parent, struct slice address)
{
	struct local_scope s = *parent;
	struct slice local, domain;

	s.parent = parent;
	s.depth++;
	s.address = address;
	address_split(address, &local, &domain);
	s.local = lower(d, local);
	if (!address_split_extension(s.local, d->settings->delimiter, &s.name, &s.extension)) {
		s.name = s.local;
		s.extension = SLICE_NONE;
	}
	return s;
}

/* --- aliases --- */

static enum table_result look_up(struct local_delivery *d, const struct local_scope *scope, struct table_question *q)
{
	struct err err;
	enum table_result result = table_list_ask(d->settings->map[MAP_ALIAS], q, d->arena, &err);

	if (result == TABLE_ERROR) {
		log_warning("%.*s: %s", SLICE_FMT(d->job->job.queue_id), err.text);
		local_fail(d, scope, "4.3.0", "alias database unavailable");
	}
	return result;
}

/* The owner of an alias file, when it is not root, has the rights of its commands and files. */
static struct launch_user table_rights(const struct local_delivery *d, const char *table)
{
	struct launch_user rights = { .name = d->settings->default_privs };
	const char *path = table ? strchr(table, '/') : NULL;
	const struct passwd *p;
	struct stat st;

	if (path && (stat(arena_printf(d->arena, "%s.db", path), &st) == 0 || stat(path, &st) == 0) && st.st_uid != 0 &&
	    (p = getpwuid(st.st_uid)))
		rights.name = arena_strdup(d->arena, p->pw_name);
	return rights;
}

/* owner-NAME gets what goes wrong.  False: it cannot be known now. */
static bool find_owner(struct local_delivery *d, struct local_scope *below)
{
	struct table_question q = { .key = slice_of(arena_printf(d->arena, "owner-%.*s", SLICE_FMT(below->alias))) };
	struct slice owner = q.key;
	enum table_result result;
	struct token token;

	if (!d->settings->owner_special)
		return true;
	result = look_up(d, below, &q);
	if (result == TABLE_ERROR)
		return false;
	if (result == TABLE_NOT_FOUND) {
		if (d->settings->reset_owner)
			below->sender = d->job->job.envelope.sender;
		return true;
	}
	if (d->settings->expand_owner && token_next(&q.value, d->arena, &token) && token.type == TOKEN_ADDRESSES)
		owner = token.text;
	below->sender = router_canonical(d->settings->router, owner, d->arena);
	return true;
}

/* False: no such alias, or we come from it. */
static bool expand_alias(struct local_delivery *d, const struct local_scope *scope, struct slice name)
{
	struct table_question q = { .key = name };
	struct local_scope below = *scope;

	if (slice_eq(scope->alias, name))
		return false;
	switch (look_up(d, scope, &q)) {
	case TABLE_NOT_FOUND:
		return false;
	case TABLE_ERROR:
		return true;
	case TABLE_FOUND:
		break;
	}
	below.parent = scope;
	below.alias = name;
	below.place = PLACE_ALIAS;
	if (!below.user)
		below.rights = table_rights(d, q.table);
	if (find_owner(d, &below) && local_expand_list(d, &below, q.value) == 0)
		local_fail(d, scope, "5.3.5", "the alias has no destination");
	return true;
}

void local_expand(struct local_delivery *d, const struct local_scope *scope)
{
	bool known = !local_first_time(d, "user", scope->local);

	if (scope->local.len > 0 && scope->local.ptr[0] == '\\') {
		struct local_scope plain = local_scope_below(d, scope, slice_sub(scope->address, 1, scope->address.len));

		local_deliver_user(d, &plain, false);
		return;
	}
	if (scope->depth > DEPTH_MAX) {
		local_fail(d, scope, "5.4.6", "aliases and .forward files are nested too deep");
		return;
	}
	/* One that stands in its own expansion means the user. */
	for (const struct local_scope *up = scope->parent; known && up; up = up->parent)
		if (slice_eq(up->local, scope->local))
			known = false;
	if (known || expand_alias(d, scope, scope->local))
		return;
	if (!slice_eq(scope->name, scope->local) && expand_alias(d, scope, scope->name))
		return;
	local_deliver_user(d, scope, true);
}

/* --- destinations --- */

static void resend(struct local_delivery *d, const struct local_scope *scope, struct slice address)
{
	struct local_forward *f;

	if (!local_first_time(d, "forward", address))
		return;
	f = arena_alloc(d->arena, sizeof(*f));
	*f = (struct local_forward){ d->forward, arena_slice(d->arena, address), scope->sender };
	d->forward = f;
}

void local_expand_address(struct local_delivery *d, const struct local_scope *scope, struct slice address)
{
	bool plain = address.len > 0 && address.ptr[0] == '\\';
	struct local_scope below;
	struct route route;
	struct err err;

	if (plain)
		address = slice_sub(address, 1, address.len);
	address = router_canonical(d->settings->router, address, d->arena);
	if (!router_resolve(d->settings->router, address, scope->sender, d->arena, &route, &err)) {
		log_warning("%.*s: %s", SLICE_FMT(d->job->job.queue_id), err.text);
		local_fail(d, scope, "4.3.0", "address resolution failed");
	} else if (route.class_ != ROUTE_LOCAL) {
		resend(d, scope, route.address);
	} else {
		below = local_scope_below(d, scope, route.address);
		if (plain)
			local_deliver_user(d, &below, false);
		else
			local_expand(d, &below);
	}
}

static size_t expand_addresses(struct local_delivery *d, const struct local_scope *scope, struct slice text)
{
	struct address_list list;
	struct err err;

	if (!address_parse_list(text, d->arena, &list, &err)) {
		log_warning("%.*s: bad destination: %s", SLICE_FMT(d->job->job.queue_id), err.text);
		local_fail(d, scope, "5.1.3", "bad address in an alias or .forward file");
		return 1;
	}
	for (size_t i = 0; i < list.count; i++)
		local_expand_address(d, scope, list.address[i]);
	return list.count;
}

static __attribute__((noinline)) void include(struct local_delivery *d, const struct local_scope *scope, const char *path)
{
	struct local_scope below = *scope;
	struct str text = { 0 };
	const struct passwd *p;
	struct err err;
	uid_t owner;
	int found = -1;

	if (!local_first_time(d, "include", slice_of(path)))
		return;
	below.depth++;
	if (path[0] != '/')
		err_set(&err, ERR_PERMANENT, "the path is not absolute");
	else if (below.depth > DEPTH_MAX)
		err_set(&err, ERR_PERMANENT, "nested too deep");
	else
		found = launcher_read(&scope->rights, path, true, &text, &owner, &err);
	if (found > 0) {
		below.parent = scope;
		below.place = PLACE_INCLUDE;
		if (!below.user && owner != 0 && (p = getpwuid(owner)))
			below.rights = (struct launch_user){ .name = arena_strdup(d->arena, p->pw_name) };
		(void)local_expand_list(d, &below, arena_slice(d->arena, str_slice(&text)));
	} else {
		log_warning("%.*s: :include:%s: %s", SLICE_FMT(d->job->job.queue_id), path,
			    found == 0 ? "no such file" : err.text);
		local_fail(d, scope, "4.3.5", "cannot read the include file %s", path);
	}
	str_free(&text);
}

size_t local_expand_list(struct local_delivery *d, const struct local_scope *scope, struct slice list)
{
	struct token token;
	size_t count = 0;

	while (token_next(&list, d->arena, &token)) {
		const char *text = arena_cstr(d->arena, token.text);

		switch (token.type) {
		case TOKEN_ADDRESSES:
			count += expand_addresses(d, scope, token.text);
			continue;
		case TOKEN_COMMAND:
			if (!(d->settings->commands & scope->place))
				local_fail(d, scope, "5.7.1", "mail to command is restricted");
			else
				local_deliver_command(d, scope, text);
			break;
		case TOKEN_FILE:
			if (!(d->settings->files & scope->place))
				local_fail(d, scope, "5.7.1", "mail to file is restricted");
			else
				local_deliver_file(d, scope, text);
			break;
		case TOKEN_INCLUDE:
			include(d, scope, text);
			break;
		}
		count++;
	}
	return count;
}
