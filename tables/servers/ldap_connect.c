/* SPDX-License-Identifier: ISC */
/* Connections to directory servers: options, TLS, bind. */
#include <stdlib.h>
#include <sys/time.h>

#include "tables/servers/ldap_table.h"

#if __has_include(<sasl/sasl.h>)
#include <sasl/sasl.h>
#define HAVE_SASL 1
#endif

struct timeval ldap_timeval(double seconds)
{
	return (struct timeval){ (time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6) };
}

bool ldap_say(struct err *err, const char *what, int rc)
{
	if (rc == LDAP_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "%s: no answer in time", what);
	return err_set(err, rc == LDAP_SERVER_DOWN ? ERR_CLOSED : ERR_TEMPORARY, "%s: %s", what, ldap_err2string(rc));
}

/* The same with what the library has to add: why a certificate is refused. */
static bool say_why(struct err *err, LDAP *ld, const char *what, int rc)
{
	char *why = NULL;

	ldap_say(err, what, rc);
	(void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &why);
	if (why && *why)
		err_set(err, err->code, "%s: %s (%s)", what, ldap_err2string(rc), why);
	ldap_memfree(why);
	return false;
}

/* --- options --- */

static int set_tls(LDAP *ld, const struct server_table *t)
{
	static const struct {
		const char *setting;
		int option;
	} files[] = {
		{ "tls_ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR }, { "tls_ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE },
		{ "tls_cert", LDAP_OPT_X_TLS_CERTFILE },         { "tls_key", LDAP_OPT_X_TLS_KEYFILE },
		{ "tls_random_file", LDAP_OPT_X_TLS_RANDOM_FILE }, { "tls_cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
	};
	const struct ldap_own *own = t->own;
	int require = own->tls_require_cert ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, client = 0;
	int rc = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);

	for (size_t i = 0; rc == LDAP_SUCCESS && i < sizeof(files) / sizeof(files[0]); i++) {
		const char *path = table_settings_text(t->settings, files[i].setting, NULL);

		if (path && *path)
			rc = ldap_set_option(ld, files[i].option, path);
	}
	/* The context is made of what was set so far. */
	return rc == LDAP_SUCCESS ? ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) : rc;
}

static int set_options(LDAP *ld, const struct server_table *t, double seconds)
{
	const struct ldap_own *own = t->own;
	struct timeval connect = ldap_timeval(seconds), answer = ldap_timeval((double)t->timeout);
	int version = (int)own->version, deref = (int)own->dereference, size = (int)own->size_limit;
	int debug = (int)own->debuglevel;

	if (debug > 0)
		(void)ldap_set_option(NULL, LDAP_OPT_DEBUG_LEVEL, &debug);
	if (ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_SUCCESS ||
	    ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &connect) != LDAP_SUCCESS ||
	    ldap_set_option(ld, LDAP_OPT_TIMEOUT, &answer) != LDAP_SUCCESS ||
	    ldap_set_option(ld, LDAP_OPT_DEREF, &deref) != LDAP_SUCCESS ||
	    ldap_set_option(ld, LDAP_OPT_SIZELIMIT, &size) != LDAP_SUCCESS ||
	    ldap_set_option(ld, LDAP_OPT_REFERRALS, own->chase_referrals ? LDAP_OPT_ON : LDAP_OPT_OFF) != LDAP_SUCCESS)
		return LDAP_PARAM_ERROR;
	return set_tls(ld, t);
}

/* --- bind --- */

static bool bind_simple(LDAP *ld, const struct server_table *t, double seconds, struct err *err)
{
	const char *dn = table_settings_text(t->settings, "bind_dn", "");
	const char *password = table_settings_text(t->settings, "bind_pw", "");
	struct timeval limit = ldap_timeval(seconds);
	struct berval secret = { strlen(password), (char *)(uintptr_t)password };
	LDAPMessage *answer = NULL;
	int id, status = LDAP_OTHER;
	int rc = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &id);

	if (rc != LDAP_SUCCESS)
		return ldap_say(err, "bind", rc);
	rc = ldap_result(ld, id, LDAP_MSG_ALL, &limit, &answer);
	if (rc <= 0)
		return ldap_say(err, "bind", rc == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN);
	rc = ldap_parse_result(ld, answer, &status, NULL, NULL, NULL, NULL, 1);
	if (rc == LDAP_SUCCESS)
		rc = status;
	return rc == LDAP_SUCCESS || ldap_say(err, "bind", rc);
}

#ifdef HAVE_SASL
/* Answers what the mechanism wants to know; there is nobody to ask. */
static int interact(LDAP *ld, unsigned flags, void *defaults, void *wanted)
{
	const struct server_table *t = defaults;
	static const struct {
		unsigned long id;
		const char *setting;
	} answers[] = { { SASL_CB_AUTHNAME, "bind_dn" }, { SASL_CB_PASS, "bind_pw" }, { SASL_CB_GETREALM, "sasl_realm" },
			{ SASL_CB_USER, "sasl_authz_id" } };

	for (sasl_interact_t *w = wanted; w->id != SASL_CB_LIST_END; w++) {
		const char *text = w->defresult;

		for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
			if (answers[i].id == w->id)
				text = table_settings_text(t->settings, answers[i].setting, text);
		w->result = text ? text : "";
		w->len = (unsigned)strlen(w->result);
	}
	return LDAP_SUCCESS;
}

static bool bind_sasl(LDAP *ld, const struct server_table *t, struct err *err)
{
	const struct ldap_own *own = t->own;
	const char *mechanisms = table_settings_text(t->settings, "sasl_mechs", NULL);
	ber_len_t minimum = (ber_len_t)own->sasl_minssf;
	int rc = LDAP_SUCCESS;

	if (minimum > 0)
		rc = ldap_set_option(ld, LDAP_OPT_X_SASL_SSF_MIN, &minimum);
	if (rc == LDAP_SUCCESS)
		rc = ldap_sasl_interactive_bind_s(ld, NULL, mechanisms && *mechanisms ? mechanisms : NULL, NULL, NULL,
						  LDAP_SASL_QUIET, interact, (void *)(uintptr_t)t);
	return rc == LDAP_SUCCESS || ldap_say(err, "bind with SASL", rc);
}
#else
static bool bind_sasl(LDAP *ld, const struct server_table *t, struct err *err)
{
	return err_set(err, ERR_TEMPORARY, "bind = sasl: not in this build");
}
#endif

/* --- connecting --- */

/* Words of server_host are URIs, or host and port. */
static void make_uri(const struct server_host *host, long port, struct str *uri)
{
	bool bracket = strchr(host->name, ':') != NULL;

	if (host->uri)
		str_append_text(uri, host->name);
	else if (host->port)
		str_printf(uri, bracket ? "ldap://[%s]:%s" : "ldap://%s:%s", host->name, host->port);
	else
		str_printf(uri, bracket ? "ldap://[%s]:%ld" : "ldap://%s:%ld", host->name, port);
}

static bool prepare(LDAP *ld, const struct server_table *t, double deadline, struct err *err)
{
	const struct ldap_own *own = t->own;
	double seconds = server_time_left(deadline, (double)t->timeout);
	int rc = set_options(ld, t, seconds);

	if (rc != LDAP_SUCCESS)
		return ldap_say(err, "options", rc);
	if (own->start_tls) {
		rc = ldap_start_tls_s(ld, NULL, NULL);
		if (rc != LDAP_SUCCESS)
			return say_why(err, ld, "start TLS", rc);
	}
	switch (own->bind) {
	case LDAP_BIND_SIMPLE:
		return bind_simple(ld, t, server_time_left(deadline, (double)t->timeout), err);
	case LDAP_BIND_WITH_SASL:
		return bind_sasl(ld, t, err);
	case LDAP_BIND_NONE:
		break;
	}
	return true;
}

void *ldap_table_connect(const void *settings, const struct server_host *host, double deadline, struct err *err)
{
	const struct server_table *t = settings;
	const struct ldap_own *own = t->own;
	struct str uri = { 0 };
	LDAP *ld = NULL;
	int rc;

	make_uri(host, own->port, &uri);
	rc = ldap_initialize(&ld, str_cstr(&uri));
	str_free(&uri);
	if (rc != LDAP_SUCCESS) {
		ldap_say(err, "connect", rc);
		return NULL;
	}
	if (prepare(ld, t, deadline, err))
		return ld;
	ldap_table_disconnect(ld);
	return NULL;
}

void ldap_table_disconnect(void *connection)
{
	(void)ldap_unbind_ext(connection, NULL, NULL);
}
