/* SPDX-License-Identifier: ISC */
/* ldap:/file: directories, as ldap_table(5) describes it. */
#include <stdlib.h>

#include "tables/servers/ldap_table.h"
#include "tables/servers/servers.h"

/* OpenLDAP's library tries a list of servers in order, and so does this. */
static const struct server_kind kind = {
	.connect = ldap_table_connect, .disconnect = ldap_table_disconnect, .ask = ldap_table_ask,
	.ordered = true, .uris = true,
};

struct word_value {
	const char *word;
	int value;
};

static bool read_word(const struct server_table *t, const char *setting, const char *missing,
		      const struct word_value *words, int *value, struct err *err)
{
	struct slice text = slice_of(table_settings_text(t->settings, setting, missing));

	for (; words->word; words++) {
		if (slice_eq_nocase(text, slice_of(words->word))) {
			*value = words->value;
			return true;
		}
	}
	return err_set(err, ERR_SYNTAX, "%s: %s = %.60s: unknown value", table_settings_name(t->settings), setting,
		       text.ptr);
}

static bool add_attributes(const struct server_table *t, const char *setting, const char *missing, unsigned use,
			   struct err *err)
{
	struct ldap_own *own = t->own;
	struct slice rest = slice_of(table_settings_text(t->settings, setting, missing)), word;

	while (slice_word(&rest, " ,\t\r\n", &word)) {
		size_t i = 0;

		while (i < own->attribute_count && !slice_eq_nocase(slice_of(own->attributes[i].name), word))
			i++;
		if (i == LDAP_ATTRIBUTES_MAX)
			return err_set(err, ERR_SYNTAX, "%s: more than %d attributes", table_settings_name(t->settings),
				       LDAP_ATTRIBUTES_MAX);
		if (i == own->attribute_count) {
			own->attributes[i].name = mem_slicedup(word);
			own->names[i] = own->attributes[i].name;
			own->attribute_count++;
		}
		own->attributes[i].use |= use;
	}
	return true;
}

static bool read_numbers(const struct server_table *t, struct err *err)
{
	const struct table_settings *s = t->settings;
	struct ldap_own *own = t->own;
	long expansion = 0;

	return table_settings_int(s, "server_port", LDAP_PORT, 1, 65535, &own->port, err) &&
	       table_settings_int(s, "version", 3, 2, 3, &own->version, err) &&
	       table_settings_int(s, "dereference", 0, 0, 3, &own->dereference, err) &&
	       table_settings_int(s, "expansion_limit", 0, 0, 1000000000, &expansion, err) &&
	       table_settings_int(s, "size_limit", expansion, 0, 1000000000, &own->size_limit, err) &&
	       table_settings_int(s, "recursion_limit", 1000, 1, 1000000000, &own->recursion_limit, err) &&
	       table_settings_int(s, "debuglevel", 0, 0, 65535, &own->debuglevel, err) &&
	       table_settings_int(s, "sasl_minssf", 0, 0, 1000000, &own->sasl_minssf, err) &&
	       table_settings_bool(s, "chase_referrals", false, &own->chase_referrals, err) &&
	       table_settings_bool(s, "start_tls", false, &own->start_tls, err) &&
	       table_settings_bool(s, "tls_require_cert", false, &own->tls_require_cert, err);
}

static bool read_settings(const struct server_table *t, struct err *err)
{
	static const struct word_value scopes[] = { { "sub", LDAP_SCOPE_SUBTREE }, { "base", LDAP_SCOPE_BASE },
						    { "one", LDAP_SCOPE_ONELEVEL }, { NULL, 0 } };
	static const struct word_value binds[] = { { "no", LDAP_BIND_NONE },      { "none", LDAP_BIND_NONE },
						   { "yes", LDAP_BIND_SIMPLE },   { "simple", LDAP_BIND_SIMPLE },
						   { "sasl", LDAP_BIND_WITH_SASL }, { NULL, 0 } };
	struct ldap_own *own = t->own;
	int bind = LDAP_BIND_NONE;
	bool ok = read_numbers(t, err) && read_word(t, "scope", "sub", scopes, &own->scope, err) &&
		  read_word(t, "bind", "yes", binds, &bind, err);

	own->bind = (enum ldap_bind)bind;
	if (ok && own->version < 3 && (own->start_tls || own->bind == LDAP_BIND_WITH_SASL))
		ok = err_set(err, ERR_SYNTAX, "%s: start_tls and bind = sasl need version = 3",
			     table_settings_name(t->settings));
	return ok && add_attributes(t, "result_attribute", "maildrop", LDAP_RESULT, err) &&
	       add_attributes(t, "special_result_attribute", "", LDAP_SPECIAL, err) &&
	       add_attributes(t, "terminal_result_attribute", "", LDAP_TERMINAL, err) &&
	       add_attributes(t, "leaf_result_attribute", "", LDAP_LEAF, err);
}

static void close_table(void *impl)
{
	struct server_table *t = impl;
	struct ldap_own *own = t->own;

	for (size_t i = 0; own && i < own->attribute_count; i++)
		free(own->attributes[i].name);
	server_table_close(t);
}

static bool start(struct server_table *t, struct err *err)
{
	struct ldap_own *own = mem_alloc(sizeof(*own));
	const char *base = table_settings_text(t->settings, "search_base", "");
	const char *filter = table_settings_text(t->settings, "query_filter", "mailacceptinggeneralid=%s");

	t->own = own;
	own->base_varies = strchr(base, '%') != NULL;
	return read_settings(t, err) && server_table_start(t, &kind, filter, "server_host", "localhost", err) &&
	       table_query_add_template(t->query, base, err);
}

static void *open_table(const char *name, struct err *err)
{
	struct server_table *t = server_table_create(name, err);

	if (t && !start(t, err)) {
		close_table(t);
		t = NULL;
	}
	return t;
}

const struct table_type table_ldap = {
	.name = "ldap", .folds = true, .outside = true, .open = open_table, .close = close_table,
	.lookup = server_table_lookup, .changed = server_table_changed,
};
