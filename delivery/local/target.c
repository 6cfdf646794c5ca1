/* SPDX-License-Identifier: ISC */
#include "common/base/str.h"
#include "common/config/main_cf.h"
#include "common/mail/address.h"
#include "delivery/local/local.h"

#define PLAIN "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t"

/* --- names --- */

struct interpolation {
	const struct local_delivery *d;
	const struct local_scope *scope;
	const char *allowed;
};

static const char *lookup(void *context, struct slice name)
{
	const struct interpolation *in = context;
	const struct local_scope *s = in->scope;
	const struct local_user *u = s->user;
	struct slice local, domain;
	char *value = NULL;

	address_split(s->address, &local, &domain);
	const struct { const char *name; struct slice value; } known[] = {
		{ "user", s->name }, { "home", slice_of(u ? u->home : "") }, { "shell", slice_of(u ? u->shell : "") },
		{ "recipient", s->address }, { "extension", s->extension }, { "domain", domain }, { "local", s->local },
		{ "recipient_delimiter", slice_sub(slice_of(in->d->settings->delimiter), 0, 1) },
	};

	for (size_t i = 0; !value && i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_eq(name, slice_of(known[i].name)))
			value = arena_cstr(in->d->arena, known[i].value);
	for (char *c = value; c && *c; c++)
		if (!strchr(in->allowed, *c))
			*c = '_';
	return value;
}

const char *local_interpolate(const struct local_delivery *d, const struct local_scope *scope, const char *text,
			      const char *allowed)
{
	struct interpolation in = { d, scope, allowed };
	struct str out = { 0 };
	struct err err;
	const char *result = main_cf_expand(slice_of(text), lookup, &in, &out, &err) ? arena_strdup(d->arena, str_cstr(&out)) : NULL;

	str_free(&out);
	return result;
}

/* --- what is put first --- */

static void put_head(const struct local_delivery *d, const struct local_scope *scope, unsigned which, struct str *head)
{
	const struct message_recipient *r = d->recipient;
	struct slice sender = scope->sender;

	content_head(head, &(struct content_envelope){ sender.len ? sender : SLICE("MAILER-DAEMON"), sender,
						       r->original.len ? r->original : r->address, r->address },
		     which | HEAD_RETURN_PATH | HEAD_ORIGINAL_TO);
}

/* --- files --- */

static void store(struct local_delivery *d, const struct local_scope *scope, struct launch *l, bool delivered)
{
	bool mbox = l->mailbox[strlen(l->mailbox) - 1] != '/';
	struct str head = { 0 };
	struct outcome o = { 0 };

	if (d->job->job.probe) {
		outcome_set_dsn(&o, "2.0.0", "delivers to %s", delivered && !l->any_file ? "mailbox" : l->mailbox);
		local_conclude(d, scope, &o);
		return;
	}
	put_head(d, scope, (mbox ? HEAD_FROM : 0) | (delivered ? HEAD_DELIVERED_TO : 0), &head);
	l->fd = d->job->job.fd;
	l->head = str_slice(&head);
	l->flags = mbox ? CONTENT_QUOTE_FROM | CONTENT_BLANK_LINE : 0;
	launcher_deliver(l, &o);
	local_conclude(d, scope, &o);
	str_free(&head);
}

/* Duplicates are the same text with the same rights. */
static struct slice with_rights(const struct local_delivery *d, const struct local_scope *scope, const char *text)
{
	return slice_of(arena_printf(d->arena, "%s:%s", scope->rights.name, text));
}

/* Root's destinations are reached with the rights of default_privs. */
static struct launch_user not_root(const struct local_delivery *d, const struct local_scope *scope)
{
	if (scope->user && scope->user->uid == 0)
		return (struct launch_user){ .name = d->settings->default_privs };
	return scope->rights;
}

void local_deliver_file(struct local_delivery *d, const struct local_scope *scope, const char *path)
{
	struct launch l = { .user = not_root(d, scope), .mailbox = path, .any_file = true };

	if (local_first_time(d, "file", with_rights(d, scope, path)))
		store(d, scope, &l, d->settings->delivered & DELIVERED_FILE);
}

void local_deliver_mailbox(struct local_delivery *d, const struct local_scope *scope, const char *path)
{
	struct launch l = { .user = scope->rights, .mailbox = path };

	store(d, scope, &l, true);
}

/* --- commands --- */

static void put_environment(const struct local_delivery *d, const struct local_scope *s, struct environment *e)
{
	const struct message_envelope *m = &d->job->job.envelope;
	const struct message_recipient *r = d->recipient;
	const char *allowed = config_text(d->settings->config, "command_expansion_filter");
	const struct local_user *u = s->user;
	struct slice local, domain;

	address_split(s->address, &local, &domain);
	const struct { const char *name; struct slice value; } variables[] = {
		{ "LOGNAME", s->name }, { "USER", s->name }, { "LOCAL", s->local }, { "DOMAIN", domain },
		{ "EXTENSION", s->extension }, { "RECIPIENT", s->address }, { "SENDER", s->sender },
		{ "ORIGINAL_RECIPIENT", r->original.len ? r->original : r->address },
		{ "HOME", slice_of(u ? u->home : "") }, { "SHELL", slice_of(u ? u->shell : "") },
		{ "CLIENT_ADDRESS", m->client_address }, { "CLIENT_HELO", m->helo }, { "CLIENT_HOSTNAME", m->client_name },
		{ "CLIENT_PROTOCOL", m->protocol }, { "SASL_METHOD", m->sasl_method }, { "SASL_USERNAME", m->sasl_login },
	};

	*e = d->settings->environment;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (variables[i].value.len > 0)
			environment_add(e, variables[i].name, variables[i].value, allowed, d->arena);
}

static const char *const *split_words(const char *text, const char *last, struct arena *arena)
{
	const char **words = arena_alloc(arena, (strlen(text) / 2 + 3) * sizeof(*words));
	struct slice rest = slice_of(text), word;
	size_t count = 0;

	while (slice_word(&rest, " \t\r\n", &word))
		words[count++] = arena_cstr(arena, word);
	words[count] = last;
	return words;
}

/* What only a shell knows how to do. */
static bool needs_shell(const char *command)
{
	static const char *const builtins[] = { "exit", "exec", "cd", ":", ".", "eval", "set", "umask", "export", "test",
						"true", "false", "if", "for", "while", "case", "read", "trap", "ulimit", NULL };
	struct slice rest = slice_of(command), first;

	if (command[strspn(command, PLAIN)] || !slice_word(&rest, " \t", &first) || slice_find(first, '=') >= 0)
		return true;
	for (size_t i = 0; builtins[i]; i++)
		if (slice_eq(first, slice_of(builtins[i])))
			return true;
	return false;
}

static const char *const *command_words(const struct local_delivery *d, const char *command)
{
	const char *shell = config_text(d->settings->config, "local_command_shell");

	if (shell[0])
		return split_words(shell, command, d->arena);
	return needs_shell(command) ? split_words("/bin/sh -c", command, d->arena) : split_words(command, NULL, d->arena);
}

void local_deliver_command(struct local_delivery *d, const struct local_scope *scope, const char *command)
{
	const struct config *c = d->settings->config;
	const char *directory = config_text(c, "command_execution_directory");
	struct environment environment;
	struct str head = { 0 };
	struct outcome o = { 0 };
	struct launch l = { .user = not_root(d, scope), .fd = d->job->job.fd, .env = environment.variable, .name = command,
			    .time_limit = config_time(c, "command_time_limit"),
			    .directory = config_text(c, "queue_directory") };

	if (!local_first_time(d, "command", with_rights(d, scope, command)))
		return;
	if (directory[0])
		l.directory = local_interpolate(d, scope, directory, config_text(c, "execution_directory_expansion_filter"));
	l.argv = command_words(d, command);
	if (!l.argv[0] || !l.directory) {
		outcome_set_dsn(&o, "4.3.5", "mail system configuration error");
		local_conclude(d, scope, &o);
		return;
	}
	if (d->job->job.probe) {
		outcome_set_dsn(&o, "2.0.0", "delivers to command: %s", command);
		local_conclude(d, scope, &o);
		return;
	}
	put_environment(d, scope, &environment);
	put_head(d, scope, HEAD_FROM | (d->settings->delivered & DELIVERED_COMMAND ? HEAD_DELIVERED_TO : 0), &head);
	l.head = str_slice(&head);
	l.success = arena_printf(d->arena, "delivered to command: %s", command);
	launcher_deliver(&l, &o);
	local_conclude(d, scope, &o);
	str_free(&head);
}
