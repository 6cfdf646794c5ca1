/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "delivery/local/local.h"

/* 1: there is; 0: nobody has this name; -1: nobody can tell now. */
static int find_user(const struct local_delivery *d, struct slice name, struct local_user *u)
{
	const char *root = d->settings->mailbox_root, *text = arena_cstr(d->arena, name);
	bool path_safe = name.len > 0 && !strchr(text, '/') && text[0] != '.';
	const struct passwd *p;

	errno = 0;
	p = path_safe ? getpwnam(text) : NULL;
	if (!p && errno != 0 && errno != ENOENT && errno != ESRCH)
		return -1;
	if (!p && !(root[0] && path_safe))
		return 0;
	*u = (struct local_user){ .name = text, .home = arena_strdup(d->arena, p ? p->pw_dir : "/"),
				  .shell = arena_strdup(d->arena, p ? p->pw_shell : ""), .uid = p ? p->pw_uid : (uid_t)-1 };
	if (root[0])
		u->home = arena_printf(d->arena, "%s/%s", root, text);
	return 1;
}

/* --- .forward --- */

/* 1: the mail went where the file says; 0: no such file, or nothing in it. */
static int forward_by(struct local_delivery *d, const struct local_scope *scope, const char *path)
{
	struct local_scope below = *scope;
	struct str text = { 0 };
	struct err err;
	uid_t owner;
	int found = launcher_read(&scope->rights, path, false, &text, &owner, &err), done = 0;

	below.parent = scope;
	below.place = PLACE_FORWARD;
	if (found > 0) {
		done = local_expand_list(d, &below, arena_slice(d->arena, str_slice(&text))) > 0;
	} else if (found < 0 && err.code == ERR_TEMPORARY) {
		local_fail(d, scope, "4.3.0", "%s", err.text);
		done = 1;
	} else if (found < 0) {
		log_warning("%.*s: %s: the file is not used", SLICE_FMT(d->job->job.queue_id), err.text);
	}
	str_free(&text);
	return done;
}

static bool expand_forward(struct local_delivery *d, const struct local_scope *scope)
{
	const struct config *c = d->settings->config;
	const char *paths = local_interpolate(d, scope, config_text(c, "forward_path"),
					      config_text(c, "forward_expansion_filter"));
	struct slice rest = slice_of(paths ? paths : ""), path, before = SLICE_NONE;

	while (slice_word(&rest, " ,\t\r\n", &path)) {
		if (slice_eq(path, before) || path.ptr[0] != '/')
			continue;
		before = path;
		/* We come from it: what it says of its own user is the mailbox. */
		if (!local_first_time(d, "forward file", path))
			return false;
		if (forward_by(d, scope, arena_cstr(d->arena, path)))
			return true;
	}
	return false;
}

/* --- the mailbox --- */

static bool pass_by_map(struct local_delivery *d, const struct local_scope *scope, enum local_map map,
			const char *parameter)
{
	struct slice value = SLICE_NONE;
	struct err err;
	enum table_result result = table_list_lookup(d->settings->map[map], scope->name, d->arena, &value, &err);

	if (result == TABLE_ERROR) {
		log_warning("%.*s: %s", SLICE_FMT(d->job->job.queue_id), err.text);
		local_fail(d, scope, "4.3.0", "table lookup problem");
		return true;
	}
	if (result == TABLE_NOT_FOUND)
		value = slice_of(config_text(d->settings->config, parameter));
	if (value.len == 0)
		return false;
	local_pass(d, scope, value);
	return true;
}

/* mailbox_command_maps, mailbox_command: NULL when there is none; *failed: not known now. */
static const char *find_command(struct local_delivery *d, const struct local_scope *scope, bool *failed)
{
	struct slice value;
	struct err err;
	enum table_result result = table_list_lookup(d->settings->map[MAP_COMMAND], scope->name, d->arena, &value, &err);
	const char *command = config_text(d->settings->config, "mailbox_command");

	*failed = result == TABLE_ERROR;
	if (*failed)
		log_warning("%.*s: %s", SLICE_FMT(d->job->job.queue_id), err.text);
	if (result == TABLE_FOUND)
		command = arena_cstr(d->arena, value);
	return command[0] ? command : NULL;
}

static const char *mailbox_path(const struct local_delivery *d, const struct local_user *u)
{
	const struct config *c = d->settings->config;
	const char *home_mailbox = config_text(c, "home_mailbox"), *spool = config_text(c, "mail_spool_directory");
	size_t len = strlen(spool);

	if (home_mailbox[0])
		return arena_printf(d->arena, "%s/%s", u->home, home_mailbox);
	if (d->settings->mailbox_root[0])
		return arena_printf(d->arena, "%s/mbox", u->home);
	if (len > 0 && spool[len - 1] == '/')
		return arena_printf(d->arena, "%s%s/", spool, u->name);
	return arena_printf(d->arena, "%s/%s", spool, u->name);
}

static void deliver_known(struct local_delivery *d, const struct local_scope *scope)
{
	const struct config *c = d->settings->config;
	struct stat st;
	bool failed;
	const char *command = find_command(d, scope, &failed);

	if (failed) {
		local_fail(d, scope, "4.3.0", "table lookup problem");
	} else if (config_bool(c, "require_home_directory") && stat(scope->user->home, &st) != 0 && errno == ENOENT) {
		local_fail(d, scope, "4.2.0", "cannot access home directory %s: %s", scope->user->home, strerror(errno));
	} else if (command) {
		local_deliver_command(d, scope, command);
	} else {
		local_deliver_mailbox(d, scope, mailbox_path(d, scope->user));
	}
}

/* --- nobody of that name --- */

static void deliver_unknown(struct local_delivery *d, const struct local_scope *scope)
{
	const struct config *c = d->settings->config;
	const char *relay = config_text(c, "luser_relay");

	if (pass_by_map(d, scope, MAP_FALLBACK, "fallback_transport"))
		return;
	if (relay[0] && (relay = local_interpolate(d, scope, relay, config_text(c, "forward_expansion_filter"))) &&
	    local_first_time(d, "luser_relay", slice_of(relay))) {
		local_expand_address(d, scope, slice_of(relay));
		return;
	}
	local_fail(d, scope, "5.1.1", "unknown user: \"%.*s\"", SLICE_FMT(scope->name));
}

void local_deliver_user(struct local_delivery *d, const struct local_scope *above, bool forward)
{
	struct local_scope scope = *above;
	struct local_user user;
	int found = find_user(d, scope.name, &user);

	if (found > 0) {
		scope.user = &user;
		scope.rights = (struct launch_user){ .name = user.name };
		if (forward && expand_forward(d, &scope))
			return;
	}
	/* Once a user, whatever names led here. */
	if (!local_first_time(d, "mailbox", scope.name))
		return;
	if (pass_by_map(d, &scope, MAP_TRANSPORT, "mailbox_transport"))
		return;
	if (found > 0) {
		deliver_known(d, &scope);
	} else if (found == 0) {
		deliver_unknown(d, &scope);
	} else {
		local_fail(d, &scope, "4.3.0", "cannot look up user \"%.*s\"", SLICE_FMT(scope.name));
	}
}
