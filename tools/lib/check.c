/* SPDX-License-Identifier: ISC */
#include "tools/lib/check.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/config/config.h"
#include "common/config/main_cf.h"
#include "common/config/master_cf.h"
#include "common/config/params.h"
#include "common/process/instance.h"
#include "common/process/sandbox.h"
#include "policy/policy.h"
#include "tables/table.h"
#include "tools/lib/connect.h"

#define FILE_LIMIT ((size_t)4 << 20)

/* Parts of Postfix that are not here, by the beginning of their parameters' names. */
static const struct {
	const char *prefix;
	const char *effect;
} missing[] = {
	{ "smtpd_tls_", "TLS with clients goes on without this setting" },
	{ "smtp_tls_", "TLS with servers goes on without this setting" },
	{ "lmtp_tls_", "TLS with LMTP servers goes on without this setting" },
	{ "tls_", "TLS goes on without this setting" },
	{ "smtpd_milters", "no milter is asked" },
	{ "non_smtpd_milters", "no milter is asked" },
	{ "milter_", "no milter is asked" },
	{ "header_checks", "headers are not checked" },
	{ "mime_header_checks", "headers are not checked" },
	{ "nested_header_checks", "headers are not checked" },
	{ "body_checks", "message text is not checked" },
	{ "postscreen_", "clients are tested without this setting" },
};

struct check {
	struct arena *arena;
	struct str *report;
	const char *dir;
	struct slice main_text, master_text;
	struct main_cf_line *lines;
};

static bool read_file(const char *path, struct arena *arena, struct slice *text)
{
	FILE *file = fopen(path, "re");
	struct str all = { 0 };
	char block[8192];
	size_t n;
	bool good;

	if (!file)
		return false;
	while (all.len < FILE_LIMIT && (n = fread(block, 1, sizeof(block), file)) > 0)
		str_append(&all, slice_make(block, n));
	good = !ferror(file);
	fclose(file);
	*text = arena_slice(arena, str_slice(&all));
	str_free(&all);
	return good;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Does $name, ${name…} or $(name…) occur in the text? */
static bool mentioned(struct slice text, struct slice name)
{
	ptrdiff_t at;

	while ((at = slice_find(text, '$')) >= 0) {
		text = slice_sub(text, (size_t)at + 1, text.len);
		struct slice rest = text;

		if (slice_starts(rest, SLICE("{")) || slice_starts(rest, SLICE("(")))
			rest = slice_sub(rest, 1, rest.len);
		if (slice_starts(rest, name) && (rest.len == name.len || !is_name_byte(rest.ptr[name.len])))
			return true;
	}
	return false;
}

/* Names that the administrator made: a restriction class, or one that others mention. */
static bool is_own_name(const struct check *check, struct slice name)
{
	for (const struct main_cf_line *l = check->lines; l; l = l->next) {
		struct slice list = l->value, word;

		if (!slice_eq(l->name, SLICE("smtpd_restriction_classes")))
			continue;
		while (slice_word(&list, ", \t\r\n", &word))
			if (slice_eq(word, name))
				return true;
	}
	return mentioned(check->main_text, name) || mentioned(check->master_text, name);
}

/* "relay_destination_concurrency_limit": a transport's own form of default_…. */
static bool is_transport_name(struct slice name)
{
	char other[128];

	for (size_t i = 1; i < name.len; i++) {
		if (name.ptr[i] != '_')
			continue;
		snprintf(other, sizeof(other), "default%.*s", SLICE_FMT(slice_sub(name, i, name.len)));
		if (param_find(slice_of(other)))
			return true;
		/* Those whose default form is named after the suffix alone. */
		snprintf(other, sizeof(other), "%.*s", SLICE_FMT(slice_sub(name, i + 1, name.len)));
		if (strstr(other, "destination_") && param_find(slice_of(other)))
			return true;
	}
	return false;
}

static void report_name(const struct check *check, const char *file, int line, struct slice name)
{
	const char *effect = "it has no effect";

	if (param_find(name) || is_transport_name(name) || is_own_name(check, name))
		return;
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		if (slice_starts(name, slice_of(missing[i].prefix)))
			effect = missing[i].effect;
	str_printf(check->report, "%s/%s line %d: warning: parameter %.*s is not known or not implemented: %s\n",
		   check->dir, file, line, SLICE_FMT(name), effect);
}

static bool check_main(struct check *check, struct err *err)
{
	char *path = arena_printf(check->arena, "%s/main.cf", check->dir);

	if (!read_file(path, check->arena, &check->main_text))
		return err_set_errno(err, ERR_PERMANENT, "open %s", path);
	if (!main_cf_parse(check->main_text, path, check->arena, &check->lines, err))
		return false;
	for (const struct main_cf_line *l = check->lines; l; l = l->next)
		report_name(check, "main.cf", l->line, l->name);
	return true;
}

static void check_entry(const struct check *check, const struct master_entry *e)
{
	const struct service_row *row = service_row_find(e->command);

	if (e->type != MASTER_INET && service_not_needed(e->name, e->command))
		return;
	if (!row)
		str_printf(check->report,
			   "%s/master.cf line %d: warning: service %s: program %s is not implemented: "
			   "the entry is skipped\n",
			   check->dir, e->line, e->name, e->command);
	for (size_t i = 0; i < e->override_count; i++)
		report_name(check, "master.cf", e->line, slice_of(e->overrides[i].name));
}

/* smtpd's restriction lists, as it compiles them. */
static bool check_policy(const struct config *config, struct err *err)
{
	struct policy *policy = policy_create(config, err);

	policy_free(&policy);
	return err->code == 0;
}

/* An entry's -o values are read as its process will read them. */
static bool check_overrides(const struct check *check, const struct master_entry *e, struct err *err)
{
	bool is_smtpd = strcmp(e->command, "smtpd") == 0;
	struct config *config;

	if (e->override_count == 0 && !is_smtpd)
		return true;
	config = config_load(check->dir, e->overrides, e->override_count, err);
	if (config && is_smtpd)
		(void)check_policy(config, err);
	config_free(&config);
	return err->code == 0 || err_prefix(err, "%s/master.cf line %d: service %s", check->dir, e->line, e->name);
}

static bool check_master(struct check *check, struct err *err)
{
	char *path = arena_printf(check->arena, "%s/master.cf", check->dir);
	struct master_cf *cf = master_cf_load(path, err);
	bool good = true;

	if (!cf)
		return false;
	for (size_t i = 0; i < master_cf_count(cf); i++) {
		struct err one = { 0 };

		check_entry(check, master_cf_entry(cf, i));
		if (check_overrides(check, master_cf_entry(cf, i), &one))
			continue;
		str_printf(check->report, "error: %s\n", one.text);
		good = false;
	}
	master_cf_free(&cf);
	return good || err_set(err, ERR_SYNTAX, "%s has mistakes", path);
}

bool check_files(const char *dir, struct str *report)
{
	struct err err = { 0 };
	struct config *config = config_load(dir, NULL, 0, &err);
	struct check check = { .report = report };
	bool good;

	if (!config) {
		str_printf(report, "error: %s\n", err.text);
		return false;
	}
	/* What servers hold is not asked: proxymap does that. */
	tables_use_proxy(tool_connect);
	check.arena = arena_create(0);
	check.dir = config_dir(config);
	/* The report on main.cf looks into master.cf for names that it mentions; it may be missing. */
	if (!read_file(arena_printf(check.arena, "%s/master.cf", check.dir), check.arena, &check.master_text))
		check.master_text = SLICE_NONE;
	good = check_main(&check, &err) && check_master(&check, &err);
	if (!good)
		str_printf(report, "error: %s\n", err.text);
	arena_free(&check.arena);
	config_free(&config);
	return good;
}

bool check_directories(const char *dir, struct str *report)
{
	struct err err = { 0 };
	struct config *config = config_load(dir, NULL, 0, &err);
	const struct service_row *row;
	bool good = config && instance_make_directories(config, geteuid() != 0, report, &err);

	if (!good)
		str_printf(report, "error: %s\n", err.text);
	for (size_t i = 0; good && geteuid() == 0 && (row = service_row_at(i)); i++) {
		uid_t uid;
		gid_t gid;

		if (row->flags & SERVICE_NO_PROCESS ||
		    sandbox_user(row, config_text(config, "mail_owner"), &uid, &gid, &err))
			continue;
		str_printf(report, "error: %s\n", err.text);
		good = false;
	}
	if (config)
		config_free(&config);
	return good;
}
