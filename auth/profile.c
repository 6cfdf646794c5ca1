/* SPDX-License-Identifier: ISC */
#include "auth/profile.h"

#include <stdlib.h>

#include "common/base/str.h"
#include "common/config/master_cf.h"

static struct profile *profiles;

static const struct backend_type *const types[] = { &backend_table, &backend_dovecot, &backend_cyrus };

static bool find_type(const char *name, const struct backend_type **type, struct err *err)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(name, types[i]->name) != 0)
			continue;
		*type = types[i];
		return true;
	}
	return err_set(err, ERR_SYNTAX, "smtpd_sasl_type = %s: none of table, dovecot, cyrus", name);
}

static bool open_profile(struct profile *p, const struct config *config, ipc_connect_fn *connect, struct err *err)
{
	struct backend_settings settings = {
		.service = p->service ? p->service : "smtpd",
		.path = config_text(config, "smtpd_sasl_path"),
		.sasl_service = config_text(config, "smtpd_sasl_service"),
		.local_domain = config_text(config, "smtpd_sasl_local_domain"),
		.myhostname = config_text(config, "myhostname"),
		.password_maps = config_text(config, "smtpd_sasl_password_maps"),
		.password_mechanisms = config_text(config, "smtpd_sasl_password_mechanisms"),
		.config_path = config_text(config, "cyrus_sasl_config_path"),
		.config_dir = config_dir(config),
		.connect = connect,
	};

	if (!config_bool(config, "smtpd_sasl_auth_enable"))
		return true;
	if (!find_type(config_text(config, "smtpd_sasl_type"), &p->type, err))
		return false;
	p->backend = p->type->open(&settings, err);
	return p->backend != NULL;
}

static struct profile *add_profile(const char *service, struct config *config)
{
	struct profile *p = mem_alloc(sizeof(*p));

	p->next = profiles;
	p->service = service ? mem_strdup(service) : NULL;
	p->config = config;
	profiles = p;
	return p;
}

static bool open_service(const struct config *config, const struct master_entry *e, ipc_connect_fn *connect, struct err *err)
{
	struct config *own = config_load(config_dir(config), e->overrides, e->override_count, err);

	return own && open_profile(add_profile(e->name, own), own, connect, err);
}

bool profiles_open(const struct config *config, ipc_connect_fn *connect, struct err *err)
{
	struct str path = { 0 };
	struct master_cf *cf;
	bool ok;

	str_printf(&path, "%s/master.cf", config_dir(config));
	cf = master_cf_load(str_cstr(&path), err);
	str_free(&path);
	ok = cf && open_profile(add_profile(NULL, NULL), config, connect, err);
	for (size_t i = 0; ok && i < master_cf_count(cf); i++) {
		const struct master_entry *e = master_cf_entry(cf, i);

		if (e->override_count > 0 && strcmp(e->command, "smtpd") == 0)
			ok = open_service(config, e, connect, err);
	}
	if (cf)
		master_cf_free(&cf);
	return ok;
}

const struct profile *profile_find(struct slice service)
{
	const struct profile *fallback = NULL;

	for (const struct profile *p = profiles; p; p = p->next) {
		if (!p->service)
			fallback = p;
		else if (slice_eq(service, slice_of(p->service)))
			return p;
	}
	return fallback;
}

bool profiles_changed(void)
{
	for (const struct profile *p = profiles; p; p = p->next)
		if (p->backend && p->type->changed && p->type->changed(p->backend))
			return true;
	return false;
}

unsigned profiles_groups(void)
{
	unsigned groups = 0;

	for (const struct profile *p = profiles; p; p = p->next)
		groups |= p->backend ? p->type->groups : 0;
	return groups;
}

enum service_root profiles_root(void)
{
	for (const struct profile *p = profiles; p; p = p->next)
		if (p->backend && p->type->root == ROOT_NONE)
			return ROOT_NONE;
	return ROOT_EMPTY;
}
